// Command scoutctl shows the files and scouts of a scoutmaster in a terminal.
package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	docs "github.com/urfave/cli-docs/v3"
	"github.com/urfave/cli/v3"
	"golang.org/x/term"

	"scout/client"
	"scout/cmd/internal/version"
)

// Exit codes. Those of check say what it has found.
const (
	exitOK         = 0
	exitIncomplete = 1 // check: a scout is hidden, gone or unconfirmed, or a scoutmaster is not live
	exitFailed     = 2
)

func init() {
	cli.VersionPrinter = func(c *cli.Command) {
		_, _ = fmt.Fprintln(c.Root().Writer, version.Line(c.Root().Name))
	}
}

func main() {
	signal.Ignore(syscall.SIGPIPE) // a pager that was closed is no error
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	colour := term.IsTerminal(int(os.Stdout.Fd())) && os.Getenv("NO_COLOR") == ""
	code := run(ctx, os.Args, terminal{out: os.Stdout, err: os.Stderr, colour: colour})
	stop()
	os.Exit(code)
}

// terminal is where the program writes.
type terminal struct {
	out, err io.Writer
	colour   bool
}

// exitError is an error that ends the program with a code, and says nothing.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit %d", int(e)) }

// run runs the program and returns its exit code.
func run(ctx context.Context, args []string, t terminal) int {
	err := command(t).Run(ctx, args)
	code, exits := errors.AsType[exitError](err)
	switch {
	case err == nil, errors.Is(err, syscall.EPIPE):
		return exitOK
	case exits:
		return int(code)
	case ctx.Err() != nil:
		return exitFailed // interrupted: what is written is not all
	}
	fmt.Fprintf(t.err, "scoutctl: %v%s\n", err, cure(err)) //nolint:errcheck // there is no other place to say it
	return exitFailed
}

// cure returns what to do about an error, if a flag can help.
func cure(err error) string {
	_, untrusted := errors.AsType[x509.UnknownAuthorityError](err)
	_, unreached := errors.AsType[*url.Error](err)
	switch {
	case errors.Is(err, client.ErrUnauthorized):
		return "; name a file with the secret in -token-file or SCOUT_HTTP_TOKEN_FILE"
	case untrusted:
		return "; name a file with its authorities in -ca or SCOUT_HTTP_CA"
	case unreached:
		return "; name the scoutmaster in -url or SCOUT_URL"
	}
	return ""
}

// command describes the program.
func command(t terminal) *cli.Command {
	root := &cli.Command{
		Name: "scoutctl", Usage: "show which files exist right now, on all machines that a scout watches",
		Version: version.String(), EnableShellCompletion: true,
		ConfigureShellCompletionCommand: func(c *cli.Command) { c.Hidden = false },
		Writer:                          t.out, ErrWriter: io.Discard,
		OnUsageError:   func(_ context.Context, _ *cli.Command, err error, _ bool) error { return err },
		ExitErrHandler: func(context.Context, *cli.Command, error) {},
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "url", Sources: cli.EnvVars("SCOUT_URL"), Value: "http://localhost:3001", Usage: "`URL` of the scoutmaster; several, separated by commas, are asked in turn"},
			&cli.StringFlag{Name: "token-file", Sources: cli.EnvVars("SCOUT_HTTP_TOKEN_FILE"), Usage: "`FILE` with the token of a consumer"},
			&cli.StringFlag{Name: "ca", Sources: cli.EnvVars("SCOUT_HTTP_CA"), Usage: "`FILE` with the authorities of the scoutmaster's certificate, in PEM"},
		},
		Commands: []*cli.Command{filesCommand(t), scoutsCommand(t), scoutmastersCommand(t), watchCommand(t), checkCommand(t), {
			Name: "version", Usage: "print the version",
			Action: func(_ context.Context, c *cli.Command) error { cli.ShowVersion(c.Root()); return nil },
		}, {
			Name: "man", Usage: "print the manual page",
			Action: func(_ context.Context, c *cli.Command) error {
				page, err := docs.ToManWithSection(c.Root(), 1)
				if err == nil {
					_, err = io.WriteString(t.out, page)
				}
				return err
			},
		}},
		Action: func(_ context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return fmt.Errorf("there is no command %q: see scoutctl help", c.Args().First())
			}
			return cli.ShowRootCommandHelp(c)
		},
	}
	for _, c := range root.Commands {
		c.OnUsageError = root.OnUsageError
		c.ShellComplete = completeValues(t)
	}
	return root
}

// completionTime is how long somebody who presses the tab key may wait.
const completionTime = time.Second

// completeValues completes the values of flags, and flags.
func completeValues(t terminal) cli.ShellCompleteFunc {
	return func(ctx context.Context, c *cli.Command) {
		var values []string
		switch c.Args().Get(c.Args().Len() - 1) {
		case "-o", "--output":
			if values = rosterFormats; c.Name == "files" {
				values = listFormats
			}
		case "-host", "--host":
			values = known(ctx, c, func(s client.Scout) string { return s.Host })
		case "-directory", "--directory":
			values = known(ctx, c, func(s client.Scout) string { return s.Directory })
		default:
			cli.DefaultCompleteWithFlags(ctx, c)
			return
		}
		for _, v := range values {
			fmt.Fprintln(t.out, printable(v)) //nolint:errcheck // the shell has gone
		}
	}
}

// known returns what the scouts of the scoutmaster have, or nothing if it cannot be
// asked.
func known(ctx context.Context, c *cli.Command, value func(client.Scout) string) (values []string) {
	ctx, cancel := context.WithTimeout(ctx, completionTime)
	defer cancel()
	master, err := connect(c)
	if err != nil {
		return nil
	}
	roster, err := master.Scouts(ctx)
	if err != nil {
		return nil
	}
	for _, s := range roster.Scouts {
		values = append(values, value(s))
	}
	slices.Sort(values)
	return slices.Compact(values)
}

// connect returns a client for the flags.
func connect(c *cli.Command) (*client.Client, error) {
	return client.New(c.String("url"), client.Options{TokenFile: c.String("token-file"), CAFile: c.String("ca")})
}

// selection are the flags that select files.
func selection() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "host", Usage: "only files of the `HOST`; repeatable"},
		&cli.StringSliceFlag{Name: "directory", Usage: "only files of scouts that watch the `DIR`; repeatable"},
		&cli.StringSliceFlag{Name: "prefix", Usage: "only files whose names begin with the `TEXT`; repeatable"},
		&cli.BoolFlag{Name: "ignore-case", Aliases: []string{"i"}, Usage: "compare names with the pattern and prefixes in lower case"},
	}
}

// query returns the files that the flags and the pattern in the arguments select.
func query(c *cli.Command) (client.Query, error) {
	if c.Args().Len() > 1 {
		return client.Query{}, fmt.Errorf("%q is a second pattern: quote patterns, or the shell replaces them by files here", c.Args().Get(1))
	}
	q := client.Query{Hosts: c.StringSlice("host"), Directories: c.StringSlice("directory"), Prefixes: c.StringSlice("prefix"), IgnoreCase: c.Bool("ignore-case")}
	if pattern := c.Args().First(); pattern != "" {
		q.Matches = []string{pattern}
	}
	return q, nil
}

// output is the flag for the format.
func output(formats []string) cli.Flag {
	return &cli.StringFlag{Name: "output", Aliases: []string{"o"}, Value: "table", Usage: "`FORMAT`: " + strings.Join(formats, ", ")}
}
