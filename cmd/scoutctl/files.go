package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"
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
			&cli.BoolFlag{Name: "count", Usage: "print only the number of files"},
			&cli.DurationFlag{Name: "fresh", Usage: "let the scouts look at their disks first, for at most this `TIME`"},
			output(listFormats)),
		Action: func(ctx context.Context, c *cli.Command) error {
			q, err := query(c)
			if err != nil {
				return err
			}
			format := c.String("output")
			if !slices.Contains(listFormats, format) {
				return fmt.Errorf("-o %q is none of %s", format, strings.Join(listFormats, ", "))
			}
			master, err := connect(c)
			if err != nil {
				return err
			}
			switch fresh := c.Duration("fresh"); {
			case c.Bool("count"):
				return writeCount(ctx, t, master, q, fresh)
			case fresh > 0:
				return writeFresh(ctx, t, master, q, fresh, format)
			case format == "table" || format == "wide":
				return writeTable(t.out, format, master.List(ctx, q))
			}
			return copyList(ctx, t, master, q, client.Format(format))
		},
	}
}

var listFormats = []string{"table", "wide", "json", "ndjson", "text", "nul"}

func writeCount(ctx context.Context, t terminal, master *client.Client, q client.Query, fresh time.Duration) error {
	var n int
	var err error
	if fresh > 0 {
		_, err = eachFresh(ctx, t, master, q, fresh, func(client.File) error {
			n++
			return nil
		})
	} else {
		n, err = master.Count(ctx, q)
	}
	if err == nil {
		_, err = fmt.Fprintln(t.out, n)
	}
	return err
}

// copyList writes the list as the scoutmaster does.
func copyList(ctx context.Context, t terminal, master *client.Client, q client.Query, format client.Format) error {
	list, err := master.Open(ctx, q, format)
	if err != nil {
		return err
	}
	defer list.Close() //nolint:errcheck // it was read
	if _, err := io.Copy(t.out, list); err != nil {
		return err
	}
	if format == client.JSON {
		_, err = fmt.Fprintln(t.out)
	}
	return err
}

// errLeft ends a list that nobody reads any more.
var errLeft = errors.New("the list was left")

// eachFresh calls each with the files after the scouts have looked at their disks, and
// then names the scouts that could not confirm theirs.
func eachFresh(ctx context.Context, t terminal, master *client.Client, q client.Query, fresh time.Duration, each func(client.File) error) ([]client.Unconfirmed, error) {
	unconfirmed, err := master.EachFresh(ctx, q, fresh, each)
	for _, u := range unconfirmed {
		fmt.Fprintf(t.err, "scoutctl: not confirmed by %s\n", printable(u.String())) //nolint:errcheck // a remark
	}
	return unconfirmed, err
}

func writeFresh(ctx context.Context, t terminal, master *client.Client, q client.Query, fresh time.Duration, format string) error {
	if format == "table" || format == "wide" {
		return writeTable(t.out, format, func(yield func(client.File, error) bool) {
			_, err := eachFresh(ctx, t, master, q, fresh, func(f client.File) error {
				if !yield(f, nil) {
					return errLeft
				}
				return nil
			})
			if err != nil && !errors.Is(err, errLeft) {
				yield(client.File{}, err)
			}
		})
	}
	out := bufio.NewWriterSize(t.out, 64<<10)
	before, end := "", ""
	if format == "json" {
		before, end = `{"files":[`+"\n", `{"files":[]`
	}
	unconfirmed, err := eachFresh(ctx, t, master, q, fresh, func(f client.File) error {
		entry, err := encode(f, format)
		if err == nil {
			_, err = out.WriteString(before + entry)
		}
		if format == "json" {
			before, end = ",\n", "\n]"
		}
		return err
	})
	if err == nil && format == "json" {
		var text []byte
		text, err = json.Marshal(append([]client.Unconfirmed{}, unconfirmed...))
		end += fmt.Sprintf(",\"unconfirmed\":%s}\n", text)
	}
	if err != nil {
		return cmp.Or(out.Flush(), err)
	}
	_, err = out.WriteString(end)
	return cmp.Or(err, out.Flush())
}

// encode returns a file in a format that has no columns.
func encode(f client.File, format string) (string, error) {
	switch format {
	case "text":
		return printable(f.Path()) + "\n", nil
	case "nul":
		return f.Path() + "\x00", nil
	}
	text, err := json.Marshal(f)
	if format == "ndjson" {
		text = append(text, '\n')
	}
	return string(text), err
}

// firstScreen is how many rows of a table are measured. They are written together,
// and each later one as it comes: a list may be too long to be measured first.
const firstScreen = 50

// writeTable writes a table with a title.
func writeTable(to io.Writer, format string, files iter.Seq2[client.File, error]) error {
	titles, columns := []string{"HOST", "PATH"}, func(f client.File) []string { return []string{printable(f.Host), printable(f.Path())} }
	if format == "wide" {
		titles = []string{"HOST", "DIRECTORY", "FILENAME"}
		columns = func(f client.File) []string {
			return []string{printable(f.Host), printable(f.Directory), printable(f.Name)}
		}
	}
	out := bufio.NewWriterSize(to, 64<<10)
	t := table{out: out, rows: [][]string{titles}}
	n := 0
	for f, err := range files {
		switch {
		case err != nil && n == 0:
			return err
		case err != nil:
			return cmp.Or(t.flush(), out.Flush(), err)
		}
		if err := t.add(columns(f)); err != nil {
			return err
		}
		if n++; n == firstScreen {
			if err := cmp.Or(t.flush(), out.Flush()); err != nil {
				return err
			}
		}
	}
	if n == 0 {
		return nil
	}
	return cmp.Or(t.flush(), out.Flush())
}

// table aligns rows. It keeps them until flush, and measures them then.
type table struct {
	out    *bufio.Writer
	rows   [][]string
	widths []int // of all columns but the last; nil: not measured yet
	line   []byte
}

func (t *table) add(row []string) error {
	if t.widths == nil {
		t.rows = append(t.rows, row)
		return nil
	}
	return t.write(row)
}

func (t *table) flush() error {
	if t.widths == nil {
		t.widths = make([]int, len(t.rows[0])-1)
		for _, row := range t.rows {
			for i := range t.widths {
				t.widths[i] = max(t.widths[i], utf8.RuneCountInString(row[i]))
			}
		}
	}
	for _, row := range t.rows {
		if err := t.write(row); err != nil {
			return err
		}
	}
	t.rows = nil
	return nil
}

func (t *table) write(row []string) error {
	t.line = t.line[:0]
	for i := range t.widths {
		n := utf8.RuneCountInString(row[i])
		t.widths[i] = max(t.widths[i], n) // later ones may be wider
		t.line = append(t.line, row[i]...)
		for range t.widths[i] - n + 2 {
			t.line = append(t.line, ' ')
		}
	}
	t.line = append(append(t.line, row[len(row)-1]...), '\n')
	_, err := t.out.Write(t.line)
	return err
}

// printable returns a name without characters that steer a terminal.
func printable(name string) string {
	if isPlain(name) {
		return name
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return utf8.RuneError
	}, name)
}

// isPlain reports whether a name has only printable ASCII characters.
func isPlain(name string) bool {
	for i := range len(name) {
		if name[i] < ' ' || name[i] > '~' {
			return false
		}
	}
	return true
}
