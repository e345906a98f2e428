package access

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"go.uber.org/zap"
)

// The length of a secret, in characters. A shorter one could be guessed.
const (
	minSecret = 16
	maxSecret = 512
)

var (
	tokenName   = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
	tokenSecret = regexp.MustCompile(`^[A-Za-z0-9._~+/-]+=*$`) // what RFC 6750 lets a bearer token be
)

// tokenSet has the valid tokens: their names, by digests of the secrets. The secrets
// themselves are not kept.
type tokenSet struct{ names map[digest]string }

// digest is a keyed hash of a secret. Its key never leaves the process, so the time
// of a lookup tells nothing about any secret.
type digest [sha256.Size]byte

var digestKey = func() []byte {
	key := make([]byte, sha256.Size)
	rand.Read(key) // it never fails
	return key
}()

func digestOf(secret string) digest {
	mac := hmac.New(sha256.New, digestKey)
	mac.Write([]byte(secret)) // it never fails
	return digest(mac.Sum(nil))
}

// parseTokens reads a file with one token a line, name:secret. It ignores empty lines
// and lines that begin with #. A name may have several lines: each of its secrets is
// valid. Errors name the file and the line, never the secret.
func parseTokens(file string, content []byte) (*tokenSet, error) {
	t := &tokenSet{names: make(map[digest]string)}
	for at, line := range lines(file, content) {
		name, secret, err := parseToken(at, line)
		if err != nil {
			return nil, err
		}
		if name == "" {
			return nil, fmt.Errorf("%s: there is no name before the secret: write name:secret", at)
		}
		d := digestOf(secret)
		if known, twice := t.names[d]; twice {
			return nil, fmt.Errorf("%s: the secret is %s's already: give each name secrets of its own", at, known)
		}
		t.names[d] = name
	}
	if len(t.names) == 0 {
		return nil, noToken(file)
	}
	return t, nil
}

// parseTokenFile reads a client's token file: a single line, name:secret or the secret
// alone. It returns the secret.
func parseTokenFile(file string, content []byte) (secret string, err error) {
	for at, line := range lines(file, content) {
		if secret != "" {
			return "", fmt.Errorf("%s: this is a second token: leave the one that is to be shown", at)
		}
		if _, secret, err = parseToken(at, line); err != nil {
			return "", err
		}
	}
	if secret == "" {
		return "", noToken(file)
	}
	return secret, nil
}

func noToken(file string) error {
	return fmt.Errorf("%s: there is no token in it: write one a line as name:secret, with a secret from openssl rand -hex 32", file)
}

// parseToken splits a line. Its errors quote no part of the line, because any part
// could be a secret.
func parseToken(at, line string) (name, secret string, err error) {
	name, secret, named := strings.Cut(line, ":")
	if !named {
		name, secret = "", line
	}
	switch {
	case named && !tokenName.MatchString(name):
		return "", "", fmt.Errorf("%s: the name before the colon is not 1 to 64 of letters, digits, '.', '_' and '-': choose another", at)
	case len(secret) < minSecret:
		return "", "", fmt.Errorf("%s: the secret has less than %d characters: make one with openssl rand -hex 32", at, minSecret)
	case len(secret) > maxSecret:
		return "", "", fmt.Errorf("%s: the secret has more than %d characters: make one with openssl rand -hex 32", at, maxSecret)
	case !tokenSecret.MatchString(secret):
		return "", "", fmt.Errorf("%s: the secret has characters other than letters, digits and ._~+/-, or = before its end: make one with openssl rand -hex 32", at)
	}
	return name, secret, nil
}

// name returns the name of a secret. For secrets of one length it always takes the
// same time.
func (t *tokenSet) name(secret string) (name string, ok bool) {
	name, ok = t.names[digestOf(secret)]
	return name, ok
}

// openTokens opens a file of valid tokens.
func openTokens(log *zap.Logger, file string) (*credentialFile[*tokenSet], error) {
	return openFile(log, func(contents [][]byte) (*tokenSet, error) {
		warnOfReaders(log, file)
		return parseTokens(file, contents[0])
	}, file)
}

// readToken reads this program's own token.
func readToken(file string) (string, error) {
	content, err := readFile(file)
	if err != nil {
		return "", err
	}
	return parseTokenFile(file, content)
}

var (
	errNoToken      = errors.New("no token was shown")
	errUnknownToken = errors.New("the token is not known")
)

// bearer returns the name of the token in an Authorization header.
func bearer(tokens *tokenSet, header string) (name string, err error) {
	scheme, secret, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", errNoToken
	}
	name, ok := tokens.name(strings.TrimSpace(secret))
	if !ok {
		return "", errUnknownToken
	}
	return name, nil
}
