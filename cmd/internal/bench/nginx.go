//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"scout/cmd/internal/testfleet"
)

// nginx serves one file, in several ways.
type nginx struct {
	process *testfleet.Process
	file    string
	size    int64

	sendfile string // address: as installed
	buffered string // without sendfile, with large buffers
	gzip     string // compressing on the fly, level 1
}

const nginxConfig = `
daemon off;
%[1]s
worker_processes auto;
pid %[2]s/nginx.pid;
error_log stderr;
events { worker_connections 768; }
http {
	access_log off;
	default_type application/json;
	tcp_nopush on;
	root %[2]s;
	client_body_temp_path %[2]s/tmp;
	proxy_temp_path %[2]s/tmp;
	fastcgi_temp_path %[2]s/tmp;
	uwsgi_temp_path %[2]s/tmp;
	scgi_temp_path %[2]s/tmp;
	server { listen %[3]s; sendfile on; }
	server { listen %[4]s; sendfile off; output_buffers 2 512k; }
	server { listen %[5]s; sendfile on; gzip on; gzip_comp_level 1; gzip_types application/json; }
}
`

// list is the name of the file.
const list = "/files.json"

// peer returns nginx with the list of the stage as its file.
func (l *lab) peer(ctx context.Context, s *stage) (*nginx, error) {
	if l.server != nil && s == l.stage {
		return l.server, nil
	}
	if err := l.haveNginx(ctx); err != nil {
		return nil, err
	}
	n := &nginx{file: filepath.Join(l.dir, list)}
	if err := n.save(ctx, s); err != nil {
		return nil, err
	}
	if err := n.start(ctx, l.dir); err != nil {
		return nil, err
	}
	l.server = n
	return n, nil
}

// haveNginx makes sure that there is an nginx.
func (l *lab) haveNginx(ctx context.Context) error {
	if _, err := exec.LookPath("nginx"); err == nil {
		return nil
	}
	if !l.install {
		return skip("nginx is not installed: install it, or give -install")
	}
	l.log("installing nginx with apt-get")
	install := exec.CommandContext(ctx, "apt-get", "install", "-qy", "--no-install-recommends", "nginx")
	if os.Getuid() != 0 {
		install = exec.CommandContext(ctx, "sudo", append([]string{"-n", "DEBIAN_FRONTEND=noninteractive"}, install.Args...)...)
	}
	install.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	install.Stdout, install.Stderr = os.Stderr, os.Stderr
	if err := install.Run(); err != nil {
		return skip("nginx is not installed, and could not be: %v", err)
	}
	return nil
}

// save writes the list to the file, byte for byte.
func (n *nginx) save(ctx context.Context, s *stage) error {
	r, err := fetchList(ctx, s.master.HTTP, "")
	if err != nil {
		return err
	}
	defer r.Body.Close() //nolint:errcheck // it was read
	f, err := os.OpenFile(n.file, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	n.size, err = io.Copy(f, r.Body)
	return errors.Join(err, f.Sync(), f.Close()) // nothing is to be written while nginx is measured
}

func (n *nginx) start(ctx context.Context, dir string) error {
	user := ""
	if os.Getuid() == 0 {
		user = "user root;" // others may not be allowed to read the file
	}
	for _, a := range []*string{&n.sendfile, &n.buffered, &n.gzip} {
		addr, err := freeAddress(ctx)
		if err != nil {
			return err
		}
		*a = addr
	}
	config := filepath.Join(dir, "nginx.conf")
	text := fmt.Sprintf(nginxConfig, user, dir, n.sendfile, n.buffered, n.gzip)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	var err error
	if n.process, err = testfleet.Start("nginx", []string{"-p", dir, "-e", "stderr", "-c", config}, nil); err != nil {
		return err
	}
	context.AfterFunc(ctx, n.stop)
	return n.await(ctx)
}

// await waits until nginx serves.
func (n *nginx) await(ctx context.Context) error {
	for range 500 {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", n.gzip)
		if err == nil {
			return conn.Close()
		}
		if n.process.Ended() || ctx.Err() != nil {
			break
		}
		pause(ctx, 10*time.Millisecond)
	}
	n.stop()
	return fmt.Errorf("nginx does not serve: %q", n.process.Stray())
}

func (n *nginx) stop() {
	n.process.Process.Signal(os.Interrupt) //nolint:errcheck // it may have ended
	if _, err := n.process.AwaitExit(5 * time.Second); err != nil {
		n.process.Kill()
	}
}

// freeAddress returns an address that nobody listens on now.
func freeAddress(ctx context.Context) (string, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}
