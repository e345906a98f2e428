//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"scout/cmd/internal/chaos/history"
)

// again judges a recorded history.
func again(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // it was only read
	lines := json.NewDecoder(bufio.NewReader(file))
	var b history.Bounds
	if err := lines.Decode(&b); err != nil {
		return err
	}
	checker, found := history.NewChecker(b), 0
	for {
		var e history.Event
		if err := lines.Decode(&e); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		for _, v := range checker.Add(e) {
			found++
			fmt.Printf("%v%s\n", v, checker.Excerpt(v))
		}
	}
	fmt.Printf("%d names checked, %d violations\n", checker.Checked, found)
	return nil
}
