package watch

import (
	"cmp"
	"slices"
	"strings"
)

// mount is one line of the table of mounts.
type mount struct {
	id, parent string
	device     string // of the file system, major:minor
	root       string // the directory of the file system that is mounted
	point      string // the absolute path that it is mounted on
	kind       string // of the file system
}

// mountTable is the table of mounts. Reading it never blocks.
type mountTable []mount

// at returns the mount that the absolute path leads to.
func (t mountTable) at(path string) (mount, bool) {
	var now mount
	found := false
	for i := range t {
		if t[i].point == "/" && !slices.ContainsFunc(t, func(m mount) bool { return m.id == t[i].parent }) {
			now, found = t[i], true
		}
	}
	for found {
		next, ok := t.over(now, path)
		if !ok {
			break
		}
		now = next
	}
	return now, found
}

// over returns the first mount on top of m on the way to path. Of several on one
// path the last one counts.
func (t mountTable) over(m mount, path string) (top mount, ok bool) {
	for _, n := range t {
		if n.parent == m.id && n.id != m.id && isWithin(path, n.point) && (!ok || len(n.point) <= len(top.point)) {
			top, ok = n, true
		}
	}
	return top, ok
}

// below returns the mounts that can be reached below the directory, by their
// paths relative to it.
func (t mountTable) below(dir string) map[string]mount {
	found := map[string]mount{}
	prefix := strings.TrimSuffix(dir, "/") + "/"
	for _, m := range t {
		rel, ok := strings.CutPrefix(m.point, prefix)
		if !ok || rel == "" {
			continue
		}
		if top, ok := t.at(m.point); ok && top == m {
			found[rel] = m
		}
	}
	return found
}

// within returns the path, in its file system, of the absolute path on m.
func (m mount) within(path string) string {
	rel := strings.TrimPrefix(path[min(len(path), len(strings.TrimSuffix(m.point, "/"))):], "/")
	return strings.TrimSuffix(strings.TrimSuffix(m.root, "/")+"/"+rel, "/")
}

// isWithin reports whether path is dir or below it.
func isWithin(path, dir string) bool {
	rest, ok := strings.CutPrefix(path, strings.TrimSuffix(dir, "/"))
	return ok && (rest == "" || rest[0] == '/')
}

// remoteKinds are file systems behind which a server or a program stands: it can
// hang, change files without a notification, and set times as it likes.
var remoteKinds = []string{
	"nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "afs", "coda", "9p", "fuse", "fuseblk", "virtiofs", "ocfs2", "gfs2",
	"lustre", "vboxsf", "ncpfs", "glusterfs", "beegfs", "gpfs", "orangefs", "autofs", "prl_fs", "vmhgfs",
}

// stampedKinds are file systems of this machine that give a directory a new time
// at each change, in less than a tick of the kernel's clock.
var stampedKinds = []string{
	"ext2", "ext3", "ext4", "xfs", "btrfs", "bcachefs", "f2fs", "zfs", "jfs", "tmpfs", "ramfs", "devtmpfs", "rootfs", "overlay", "squashfs", "erofs",
}

func (m mount) isRemote() bool {
	kind, _, _ := strings.Cut(m.kind, ".") // fuse.sshfs
	return slices.Contains(remoteKinds, kind)
}

func (m mount) hasStamps() bool { return slices.Contains(stampedKinds, m.kind) }

// points are the mount points below the watched directory: the names by the
// directory that they are in, both paths relative to the watched one.
type points map[string][]string

func pointsOf(mounts map[string]mount) points {
	p := points{}
	for path := range mounts {
		dir, name := split(path)
		p[dir] = append(p[dir], name)
	}
	return p
}

// has reports whether a file system is mounted on the name in the directory.
func (p points) has(dir, name string) bool { return slices.Contains(p[dir], name) }

// sorted returns the paths of the mounts, those further down first.
func sortedDeepest[T any](of map[string]T) []string {
	paths := make([]string, 0, len(of))
	for path := range of {
		paths = append(paths, path)
	}
	slices.SortFunc(paths, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	return paths
}

// split returns the directory and the name of a relative path.
func split(path string) (dir, name string) {
	i := strings.LastIndexByte(path, '/')
	return path[:max(i, 0)], path[i+1:]
}
