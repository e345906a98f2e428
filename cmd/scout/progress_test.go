package main

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"scout/internal/files"
)

func TestShowScan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		view := func() files.View { // 1,000,000 files in a second and a half
			switch took := time.Since(began); {
			case took < time.Second:
				return files.View{Reason: "scanning", Scanned: int(took.Milliseconds()) * 1000}
			case took < 1500*time.Millisecond:
				return files.View{Reason: "no such directory"}
			default:
				return files.View{Set: new(files.Set)}
			}
		}
		var shown []string
		showScan(t.Context(), view, func(text string) { shown = append(shown, text) })
		want := []string{
			"", "", "",
			"scanning: 600,000 files, 1,000,000 a second, 0s",
			"scanning: 800,000 files, 1,000,000 a second, 0s",
			"", "", "", "",
		}
		if !slices.Equal(shown, want) {
			t.Errorf("shown: %q", shown)
		}
	})
}

func TestGrouped(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 12345678: "12,345,678"} {
		if got := grouped(n); got != want {
			t.Errorf("%d is %q", n, got)
		}
	}
}
