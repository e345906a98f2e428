package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v3"

	"scout/client"
)

func scoutsCommand(t terminal) *cli.Command {
	return &cli.Command{
		Name: "scouts", Usage: "list the scouts and how they are doing",
		Flags: []cli.Flag{output(rosterFormats)},
		Action: func(ctx context.Context, c *cli.Command) error {
			return writeRoster(ctx, c, t, func(r client.Roster) any { return r }, func(r client.Roster) error { return writeScouts(t, r, time.Now()) })
		},
	}
}

func scoutmastersCommand(t terminal) *cli.Command {
	return &cli.Command{
		Name: "scoutmasters", Usage: "list the scoutmasters that share the list, and how they are doing",
		Flags: []cli.Flag{output(rosterFormats)},
		Action: func(ctx context.Context, c *cli.Command) error {
			return writeRoster(ctx, c, t, func(r client.Roster) any { return r.Scoutmasters }, func(r client.Roster) error { return writeScoutmasters(t, r) })
		},
	}
}

var rosterFormats = []string{"table", "json"}

// writeRoster writes a part of the roster in the format that is asked for.
func writeRoster(ctx context.Context, c *cli.Command, t terminal, part func(client.Roster) any, table func(client.Roster) error) error {
	master, err := connect(c)
	if err != nil {
		return err
	}
	roster, err := master.Scouts(ctx)
	if err != nil {
		return err
	}
	switch c.String("output") {
	case "json":
		e := json.NewEncoder(t.out)
		e.SetIndent("", "  ")
		return e.Encode(part(roster))
	case "table":
		return table(roster)
	}
	return fmt.Errorf("-o %q is neither table nor json", c.String("output"))
}

func writeScouts(t terminal, roster client.Roster, now time.Time) error {
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	row := func(state client.State, host, directory, files string, heard time.Time, master, reason string) {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", //nolint:errcheck // Flush reports it
			t.paint(string(state)), printable(host), printable(directory), files, ago(heard, now), dash(printable(master)), dash(printable(reason)))
	}
	fmt.Fprintln(w, t.title("STATE")+"\tHOST\tDIRECTORY\tFILES\tHEARD\tSCOUTMASTER\tREASON") //nolint:errcheck // Flush reports it
	for _, s := range roster.Scouts {
		row(s.State, s.Host, s.Directory, strconv.Itoa(s.Files), s.Heard, s.Scoutmaster, s.Reason)
	}
	named, others := gone(roster)
	for _, l := range named {
		row("gone", l.Host, l.Directory, "-", l.When, "", l.Reason)
	}
	if err := w.Flush(); err != nil || others == 0 {
		return err
	}
	_, err := fmt.Fprintf(t.out, "%d more are gone: the log of the scoutmaster names them\n", others)
	return err
}

// ago is how long ago something was. A scoutmaster does not know when another one
// last heard from a scout.
func ago(at, now time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return max(0, now.Sub(at)).Round(100*time.Millisecond).String() + " ago"
}

func writeScoutmasters(t terminal, roster client.Roster) error {
	if len(roster.Scoutmasters) == 0 {
		_, err := fmt.Fprintln(t.out, "the scoutmaster is alone")
		return err
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, t.title("STATE")+"\tNAME\tSCOUTS\tREVISION\tVERSION\tURL") //nolint:errcheck // Flush reports it
	for _, m := range roster.Scoutmasters {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\t%s\n", //nolint:errcheck // Flush reports it
			t.paint(string(m.State)), printable(m.Name), m.Scouts, m.Revision, dash(printable(m.Version)), dash(printable(m.URL)))
	}
	return w.Flush()
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// title is the title of a column of painted values: it takes as many bytes as they
// do, so that it stays above them.
func (t terminal) title(text string) string {
	if !t.colour {
		return text
	}
	return "\x1b[00m" + text + "\x1b[0m"
}

// paint colours a state. All colours have the same length, so that columns stay
// aligned.
func (t terminal) paint(state string) string {
	if !t.colour {
		return state
	}
	colour := map[client.State]string{client.Live: "32", client.Degraded: "33", client.Scanning: "36"}[client.State(state)]
	if colour == "" {
		colour = "31"
	}
	return "\x1b[" + colour + "m" + state + "\x1b[0m"
}

func checkCommand(t terminal) *cli.Command {
	return &cli.Command{
		Name: "check", Usage: "tell whether the list is whole, for monitoring",
		Description: "The exit code is 0 if the list has all files of all scouts, 1 if a scout is hidden, degraded,\n" +
			"gone or unconfirmed or a scoutmaster is gone or cut off, and 2 if that cannot be told.",
		Flags: []cli.Flag{&cli.DurationFlag{Name: "within", Value: 5 * time.Second, Usage: "how long the scouts may take to look at their disks"}},
		Action: func(ctx context.Context, c *cli.Command) error {
			master, err := connect(c)
			if err != nil {
				return err
			}
			problems, err := check(ctx, master, c.Duration("within"))
			if err != nil {
				return err
			}
			if len(problems) == 0 {
				_, err := fmt.Fprintln(t.out, "whole")
				return err
			}
			fmt.Fprintln(t.out, strings.Join(problems, "\n")) //nolint:errcheck // the code says it all the same
			return exitError(exitIncomplete)
		},
	}
}

// check returns what keeps the list from being whole, a line each.
func check(ctx context.Context, master *client.Client, within time.Duration) (problems []string, err error) {
	// A prefix that no name has: only what the scouts say is of interest.
	_, unconfirmed, err := master.Fresh(ctx, client.Query{Prefixes: []string{"\x00"}}, within)
	if err != nil {
		return nil, err
	}
	roster, err := master.Scouts(ctx)
	if err != nil {
		return nil, err
	}
	named := map[[2]string]bool{}
	for _, s := range roster.Scouts {
		if s.State != client.Live {
			problems = append(problems, fmt.Sprintf("%s: %s: %s: %s", s.State, printable(s.Host), printable(s.Directory), dash(printable(s.Reason))))
			named[[2]string{s.Host, s.Directory}] = true
		}
	}
	for _, u := range unconfirmed {
		if !named[[2]string{u.Host, u.Directory}] {
			problems = append(problems, "unconfirmed: "+printable(u.String()))
		}
	}
	for _, m := range roster.Scoutmasters {
		if m.State != client.ScoutmasterLive {
			problems = append(problems, fmt.Sprintf("%s: scoutmaster %s: %s", m.State, printable(m.Name), dash(printable(m.URL))))
		}
	}
	left, others := gone(roster)
	for _, l := range left {
		problems = append(problems, fmt.Sprintf("gone: %s: %s: %s", printable(l.Host), printable(l.Directory), l.Reason))
	}
	if others > 0 {
		problems = append(problems, "gone: "+strconv.Itoa(others)+" more")
	}
	return problems, nil
}

// gone returns the scouts that left without deregistering and are not back, as far as
// the scoutmaster remembers them by name, and how many others there are.
func gone(r client.Roster) (named []client.Left, others int) {
	others = r.States["gone"]
	for _, l := range r.Left {
		back := slices.ContainsFunc(r.Scouts, func(s client.Scout) bool { return s.Host == l.Host && s.Directory == l.Directory })
		if !back && l.Reason != client.Deregistered && others > 0 {
			named = append(named, l)
			others--
		}
	}
	return named, others
}

func watchCommand(t terminal) *cli.Command {
	return &cli.Command{
		Name: "watch", Usage: "print a line for each file that comes or goes", ArgsUsage: "[PATTERN]",
		Description: "A line is + or -, the host and the path. Watching resumes by itself after a break.",
		Flags:       append(selection(), &cli.BoolFlag{Name: "all", Usage: "print the existing files first"}),
		Action: func(ctx context.Context, c *cli.Command) error {
			q, err := query(c)
			if err != nil {
				return err
			}
			master, err := connect(c)
			if err != nil {
				return err
			}
			w := &watch{t: t, known: map[client.File]bool{}, silent: !c.Bool("all")}
			o := client.WatchOptions{OnError: func(err error) {
				fmt.Fprintf(t.err, "scoutctl: connection lost, trying again: %v\n", err) //nolint:errcheck // a remark
			}}
			for change, err := range master.Watch(ctx, q, o) {
				if err := errors.Join(err, w.print(change)); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// watch prints changes. It knows the list, so that it can tell the difference after
// a reset.
type watch struct {
	t      terminal
	known  map[client.File]bool
	stale  map[client.File]bool // during a reset: the files that were known and have not come again
	silent bool                 // the first reset is not printed
}

func (w *watch) print(change client.Change) error {
	if change.Reset {
		w.stale = maps.Clone(w.known)
	}
	for _, f := range change.Removed {
		delete(w.known, f)
		if err := w.line("-", f); err != nil {
			return err
		}
	}
	for _, f := range change.Added {
		delete(w.stale, f)
		if w.known[f] {
			continue
		}
		w.known[f] = true
		if w.silent {
			continue
		}
		if err := w.line("+", f); err != nil {
			return err
		}
	}
	if change.ID == "" {
		return nil
	}
	w.silent = false
	gone := slices.SortedFunc(maps.Keys(w.stale), func(a, b client.File) int { return strings.Compare(a.Host+a.Path(), b.Host+b.Path()) })
	w.stale = nil
	for _, f := range gone {
		delete(w.known, f)
		if err := w.line("-", f); err != nil {
			return err
		}
	}
	return nil
}

func (w *watch) line(sign string, f client.File) error {
	if w.t.colour {
		colour := map[string]string{"+": "32", "-": "31"}[sign]
		sign = "\x1b[" + colour + "m" + sign + "\x1b[0m"
	}
	_, err := fmt.Fprintf(w.t.out, "%s %s %s\n", sign, printable(f.Host), printable(f.Path()))
	return err
}
