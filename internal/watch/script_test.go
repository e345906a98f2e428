package watch

import "testing"

// scripts are things that happen to a directory. The steps run in the watched
// directory, with another one beside it that is not watched; after each, the
// View must become what find prints.
var scripts = []struct {
	name  string
	steps []string
}{
	{"files come and go", []string{
		`touch a b .hidden`, `rm a`, `mv b c`, `touch a; rm c .hidden`, `rm a`,
	}},
	{"all kinds of files", []string{
		`mkfifo fifo; ln -s /etc/passwd link; ln -s nowhere dangling; mknod -m 600 device c 1 3 || true`,
		`python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket")' || true`,
		`rm fifo link dangling`,
	}},
	{"links are listed and not followed", []string{
		`mkdir d; touch d/f; ln -s . loop; ln -s .. d/up; ln -s ../../beside out; touch ../beside/secret`,
		`touch ../beside/another; rm loop`,
	}},
	{"hard links", []string{`touch a; ln a b; mkdir d; ln a d/c`, `rm a`, `rm d/c`}},
	{"a file changes its kind", []string{
		`touch x`, `rm x; mkdir x; touch x/y`, `rm -r x; touch x`, `rm x; ln -s /etc x`, `rm x; mkdir -p x/x/x; touch x/x/x/x`,
	}},
	{"sorted as bytes", []string{
		`mkdir a; touch a/b a.txt a0 a- a` + "`printf '\\\\001'`" + `; touch "a b" A`, `mkdir a.d a-d; touch a.d/f a-d/f`, `rm -r a`,
	}},
	{"names that are not text", []string{
		`touch $'new\nline' $'\xff\xfe' $'tab\t' '*' ' ' '\' '"' $'\x01' -- -x --`,
		`mkdir $'\xff' ... '..x'; touch $'\xff/\n' .../f '..x/y'`,
		`touch "$(printf 'n%.0s' {1..255})"; mkdir "$(printf 'd%.0s' {1..255})"; touch "$(printf 'd%.0s' {1..255})/f"`,
		`rm -r ... $'\xff'`, `mkdir ...; touch .../g`,
	}},
	{"file in a directory a moment old", []string{
		`mkdir d; touch d/f`, `mkdir -p e/e/e/e/e; touch e/e/e/e/e/f; touch e/e/g`, `mkdir d/x; mv d/f d/x; mkdir d/x/y; mv d/x/f d/x/y`,
	}},
	{"a tree moved in, then changed deep inside", []string{
		`mkdir -p ../beside/t/u/v; touch ../beside/t/1 ../beside/t/u/2 ../beside/t/u/v/3; mv ../beside/t .`,
		`touch t/u/v/4`, `rm t/u/v/3; mkdir t/u/v/w`, `touch t/u/v/w/5`,
	}},
	{"a tree moved out, changed, and back", []string{
		`mkdir -p t/u; touch t/1 t/u/2`, `mv t ../beside/t`, `touch ../beside/t/3 ../beside/t/u/3`,
		`mv ../beside/t t2`, `touch t2/u/4`, `mv t2/u/4 ../beside; rm -r t2`,
	}},
	{"removed and made again", []string{
		`mkdir d; touch d/f`, `rm -r d; mkdir d`, `touch d/g`, `rm -r d; mkdir d; touch d/h`, `touch d/i`,
		`rm -r d`, `mkdir d`, `touch d/j`, `rm -r d; mkdir -p d/d`, `touch d/d/k`, `rm -r d; mkdir -p d/d`, `touch d/d/l`,
	}},
	{"similar names", []string{
		`mkdir ab abc; touch ab/f abc/f abcd`, `mv ab x`, `touch abc/g`, `touch x/g`, `mv abc ab`, `touch ab/h`, `rm -r x`, `touch ab/i`,
	}},
	{"renamed directories trade places", []string{
		`mkdir -p a/s b/s; touch a/s/fa b/s/fb`, `mv a t; mv b a; mv t b`, `touch a/s/1 b/s/2`,
		`mv a c; mv c a`, `touch a/s/3`, `mv a b/s/a`, `touch b/s/a/s/4`, `mv b/s/a .; mv b a/b`, `touch a/s/5 a/b/6`,
	}},
	{"renamed again and again", []string{
		`mkdir -p a/b/c; touch a/b/c/f`, `for i in 1 2 3 4 5 6 7 8 9; do mv a x; mv x a; done`, `touch a/b/c/g`,
		`for i in 1 2 3 4 5 6 7 8 9; do mv a a$i; mkdir a; touch a/$i; done`, `for i in 1 2 3 4 5 6 7 8 9; do touch a$i/z; done; touch a/z`,
	}},
	{"replaced by a link", []string{
		`mkdir -p d/e ../beside/e; touch d/e/mine ../beside/e/secret`, `rm -r d; ln -s ../beside d`, `touch ../beside/e/more`,
		`rm d; mkdir -p d/e; touch d/e/new`, `touch d/e/newer`, `mv d/e ../beside/moved; ln -s ../../beside/moved d/e`, `touch ../beside/moved/x`,
	}},
	{"everything removed", []string{
		`mkdir -p a/b c; touch a/1 a/b/2 c/3 4`, `find . -mindepth 1 -delete`, `mkdir -p a/b; touch a/b/2`,
	}},
	{"many files", []string{
		`mkdir d; cd d; seq -f f%06g 6000 | xargs touch`, `rm d/f0000*`, `find d -name '*7' -delete; touch d/x`, `mv d e`, `rm -r e`,
	}},
	{"many directories", []string{
		`seq -f d%g/e/f 300 | xargs mkdir -p; for i in d*; do : >$i/x; : >$i/e/y; done`,
		`for i in d*1; do mv $i/e $i/g; : >$i/g/z; done`, `mv d1 d2/; mv d3 d2/d1/`, `rm -r d5*`, `touch d2/d1/d3/e/late`,
	}},
	{"timestamps that lie", []string{
		`mkdir d; touch d/f; touch -d 2030-01-01 d`, `touch d/g; touch -d 2030-01-01 d`, `touch -d 1970-01-01 d`, `touch d/h; touch -d 1970-01-01 d`,
	}},
}

func TestScripts(t *testing.T) {
	for _, script := range scripts {
		t.Run(script.name, func(t *testing.T) {
			t.Parallel()
			eachMode(t, func(t *testing.T, o Options) {
				dir := in(t)
				mkdir(t, dir+"/../beside")
				s := start(t, dir, o)
				s.converge()
				for _, step := range script.steps {
					shell(t, dir, step)
					s.converge()
				}
			})
		})
	}
}
