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

// How long a secret may be, in characters. Below that it could be guessed.
const (
	minSecret = 16
	maxSecret = 512
)

var (
	tokenName   = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
	tokenSecret = regexp.MustCompile(`^[A-Za-z0-9._~+/-]+=*$`) // what RFC 6750 lets a bearer token be
)

// Tokens are the tokens that are good now: their names, by digests of the
// secrets, which are not kept themselves.
type Tokens struct{ names map[digest]string }

// digest stands for a secret. Nobody outside of this process can tell which
// secrets have digests that are alike, so to look one up takes a time that says
// nothing of any secret, however many there are.
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

// ParseTokens reads a file of tokens: one a line as name:secret, with empty
// lines and those that begin with # left out. A name may be on several lines:
// each of its secrets is good. Errors name the file and line, never the secret.
func ParseTokens(file string, content []byte) (*Tokens, error) {
	t := &Tokens{names: make(map[digest]string)}
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

// ParseToken reads the file of one who has a token to show: a single line,
// name:secret or the secret alone. It returns the secret.
func ParseToken(file string, content []byte) (secret string, err error) {
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

// parseToken takes a line apart. Whatever is wrong with it, no part of it that
// could be a secret is quoted.
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

// Name returns whose token the secret is. It takes the same time whatever is
// wrong with a secret of some length.
func (t *Tokens) Name(secret string) (name string, ok bool) {
	name, ok = t.names[digestOf(secret)]
	return name, ok
}

// openTokens opens a file of tokens that are good.
func openTokens(log *zap.Logger, file string) (*credentialFile[*Tokens], error) {
	return openFile(log, func(contents [][]byte) (*Tokens, error) {
		warnOfReaders(log, file)
		return ParseTokens(file, contents[0])
	}, file)
}

// readToken reads the token that this program is to show.
func readToken(file string) (string, error) {
	content, err := readFile(file)
	if err != nil {
		return "", err
	}
	return ParseToken(file, content)
}

var (
	errNoToken      = errors.New("no token was shown")
	errUnknownToken = errors.New("the token is not known")
)

// bearer finds out whose token the value of an Authorization header holds.
func bearer(tokens *Tokens, header string) (name string, err error) {
	scheme, secret, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", errNoToken
	}
	name, ok := tokens.Name(strings.TrimSpace(secret))
	if !ok {
		return "", errUnknownToken
	}
	return name, nil
}
