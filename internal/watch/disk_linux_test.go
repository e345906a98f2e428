package watch

import "testing"

func TestStepwiseOpenFollowsNoLink(t *testing.T) {
	dir := in(t)
	shell(t, dir, "mkdir -p a/b/c; ln -s a l; ln -s b a/l; touch a/f")
	f := scanned(t, dir, nil)
	for path, want := range map[string]bool{
		"a": true, "a/b/c": true, "l": false, "a/l": false, "l/b": false, "a/l/c": false, "a/f": false, "x": false,
	} {
		for name, open := range map[string]func(int, string) (int, error){
			"openat2":  func(fd int, path string) (int, error) { return openBeneath(fd, path, true) },
			"stepwise": openStepwise,
		} {
			fd, err := open(f.disk.fd, path)
			if err == nil {
				opened{fd, new(calls)}.close()
			}
			if (err == nil) != want || (err != nil && !isGone(err)) {
				t.Errorf("%s of %s: %v", name, path, err)
			}
		}
	}
}
