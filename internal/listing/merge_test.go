package listing

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"scout/internal/files"
	"scout/internal/files/filestest"
)

// merge simulates a merge with this duration, if the pace allows it.
func (p *mergePace) merge(took time.Duration, calm bool) bool {
	if !p.allows(calm) {
		return false
	}
	time.Sleep(took)
	p.spend(took)
	return true
}

// Merges never take more than their share of the time.
func TestMergesTakeTheirShareOfTheTime(t *testing.T) {
	for _, calm := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			p, began, spent := newMergePace(), time.Now(), time.Duration(0)
			for time.Since(began) < time.Hour {
				if p.merge(2*time.Second, calm) {
					spent += 2 * time.Second
				}
				time.Sleep(100 * time.Millisecond)
			}
			share := (spent - mergeCredit).Seconds() / time.Since(began).Seconds()
			if share > 1.05/mergeShare || share < 0.5/mergeShare {
				t.Errorf("merges take %.3f of the time, calm %v", share, calm)
			}
		})
	}
}

// A merge while scouts arrive does not delay the merge after they have arrived.
func TestMergesOfACalmList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newMergePace()
		if !p.merge(2*time.Second, false) {
			t.Error("the first merge has to wait")
		}
		if p.merge(2*time.Second, false) {
			t.Error("a busy list merges without a rest")
		}
		calms := 0
		for p.merge(2*time.Second, true) {
			calms++
		}
		if calms < 4 || calms > 6 {
			t.Errorf("%d merges of 2 s in a calm, one after the other, with a credit of %v", calms, mergeCredit)
		}
		time.Sleep(mergeShare * 3 * time.Second)
		if !p.merge(2*time.Second, true) {
			t.Error("the credit does not come back")
		}
	})
}

// A merge after most of many sources have left frees their numbers, and no other merge
// is due: numbers that are free stay free.
func TestNoMergeIsDueForFreeNumbers(t *testing.T) {
	l := New()
	var sources []*Source
	for i := range 2*sweepLeast + 100 {
		sources = append(sources, l.Show(files.Origin{Host: fmt.Sprint(i), Directory: "/srv"}, filestest.Set(), nil))
	}
	for _, s := range sources[100:] {
		l.Drop(s)
	}
	if !l.needsMerge(false) {
		t.Fatal("no merge is due though most numbers are those of sources that are gone")
	}
	if err := l.Merge(); err != nil {
		t.Fatal(err)
	}
	if l.needsMerge(false) {
		t.Errorf("a merge is due again: there are %d numbers, of which %d are free", l.Current().Numbers(), len(l.free))
	}
}
