package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/urfave/cli/v3"

	"scout/client"
)

func filesCommand(t terminal) *cli.Command {
	return &cli.Command{
		Name: "files", Usage: "list files", ArgsUsage: "[PATTERN]",
		Description: "PATTERN is a glob on filenames; ** matches any number of directories.",
		Flags: append(selection(),
			&cli.DurationFlag{Name: "fresh", Usage: "let the scouts look at their disks first, for at most this `TIME`"},
			output("table, wide, json, ndjson, text or nul")),
		Action: func(ctx context.Context, c *cli.Command) error {
			q, err := query(c)
			if err != nil {
				return err
			}
			write := writers[c.String("output")]
			if write == nil {
				return fmt.Errorf("-o %q is none of table, wide, json, ndjson, text, nul", c.String("output"))
			}
			files, err := list(ctx, c, q, t)
			if err != nil {
				return err
			}
			out := bufio.NewWriterSize(t.out, 64<<10)
			if err := write(out, files); err != nil {
				return err
			}
			return out.Flush()
		},
	}
}

// list returns the selected files. With -fresh it names the scouts that could not
// confirm theirs.
func list(ctx context.Context, c *cli.Command, q client.Query, t terminal) (iter.Seq2[client.File, error], error) {
	master, err := connect(c)
	if err != nil {
		return nil, err
	}
	fresh := c.Duration("fresh")
	if fresh == 0 {
		return master.List(ctx, q), nil
	}
	files, unconfirmed, err := master.Fresh(ctx, q, fresh)
	if err != nil {
		return nil, err
	}
	for _, u := range unconfirmed {
		fmt.Fprintf(t.err, "scoutctl: not confirmed by %s\n", printable(u.String())) //nolint:errcheck // a remark
	}
	return func(yield func(client.File, error) bool) {
		for _, f := range files {
			if !yield(f, nil) {
				return
			}
		}
	}, nil
}

// writers write files in a format.
var writers = map[string]func(out *bufio.Writer, files iter.Seq2[client.File, error]) error{
	"table": each(tableLine("HOST", "PATH", func(f client.File) []string { return []string{f.Host, printable(f.Path())} })),
	"wide":  each(tableLine("HOST", "DIRECTORY\x00FILENAME", func(f client.File) []string { return []string{f.Host, printable(f.Directory), printable(f.Name)} })),
	"json":  writeJSON,
	"ndjson": each(func() lineWriter {
		return func(out io.Writer, f client.File) error { return json.NewEncoder(out).Encode(f) }
	}),
	"text": each(func() lineWriter {
		return func(out io.Writer, f client.File) error { _, err := fmt.Fprintln(out, printable(f.Path())); return err }
	}),
	"nul": each(func() lineWriter {
		return func(out io.Writer, f client.File) error { _, err := io.WriteString(out, f.Path()+"\x00"); return err }
	}),
}

// lineWriter writes one file.
type lineWriter func(out io.Writer, f client.File) error

// each writes one file after the other. The first ones are flushed at once, so that
// somebody who looks at a long list need not wait for all of it.
func each(newWriter func() lineWriter) func(*bufio.Writer, iter.Seq2[client.File, error]) error {
	const firstScreen = 50
	return func(out *bufio.Writer, files iter.Seq2[client.File, error]) error {
		write, n := newWriter(), 0
		for f, err := range files {
			if err == nil {
				err = write(out, f)
			}
			if n++; err == nil && n == firstScreen {
				err = out.Flush()
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
}

// tableLine returns the writer of a table, with a title. The columns are as wide as
// the widest value so far: a list may be too long to be measured first.
func tableLine(first, rest string, columns func(client.File) []string) func() lineWriter {
	return func() lineWriter {
		titles := append([]string{first}, strings.Split(rest, "\x00")...)
		widths := make([]int, len(titles)-1)
		line := func(out io.Writer, values []string) error {
			var b strings.Builder
			for i, v := range values[:len(values)-1] {
				widths[i] = max(widths[i], utf8.RuneCountInString(v), 12)
				b.WriteString(v + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(v)+2))
			}
			_, err := io.WriteString(out, b.String()+values[len(values)-1]+"\n")
			return err
		}
		begun := false
		return func(out io.Writer, f client.File) error {
			if !begun {
				begun = true
				if err := line(out, titles); err != nil {
					return err
				}
			}
			return line(out, columns(f))
		}
	}
}

// writeJSON writes the files as the scoutmaster does: one object, an entry a line.
func writeJSON(out *bufio.Writer, files iter.Seq2[client.File, error]) error {
	separator, end := `{"files":[`+"\n", `{"files":[]}`+"\n"
	for f, err := range files {
		if err != nil {
			return err
		}
		entry, err := json.Marshal(f)
		if err != nil {
			return err
		}
		if _, err := out.WriteString(separator + string(entry)); err != nil {
			return err
		}
		separator, end = ",\n", "\n]}\n"
	}
	_, err := out.WriteString(end)
	return err
}

// printable returns a name without characters that steer a terminal.
func printable(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return utf8.RuneError
	}, name)
}
