package testfleet

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"
)

// nginxConfig has the directives of the main context, the directory of all files, and
// those of the http block.
const nginxConfig = `
daemon off;
%[1]s
pid %[2]s/nginx.pid;
error_log stderr crit;
events { worker_connections 768; }
http {
	access_log off;
	client_body_temp_path %[2]s/tmp;
	proxy_temp_path %[2]s/tmp;
	fastcgi_temp_path %[2]s/tmp;
	uwsgi_temp_path %[2]s/tmp;
	scgi_temp_path %[2]s/tmp;
	%[3]s
}
`

// StartNginx starts nginx with directives of its main context and of its http block,
// and waits until it listens on an address. Its files are in dir.
func StartNginx(dir, main, http, address string) (*Process, error) {
	config := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, nginxConfig, main, dir, http), 0o600); err != nil {
		return nil, err
	}
	p, err := Start("nginx", "-p", dir, "-e", "stderr", "-c", config)
	if err != nil {
		return nil, err
	}
	for began := time.Now(); time.Since(began) < startTime && !p.Ended(); time.Sleep(10 * time.Millisecond) {
		if conn, err := net.Dial("tcp", address); err == nil {
			return p, conn.Close()
		}
	}
	p.Kill()
	return nil, fmt.Errorf("nginx does not serve: %q", p.Stray())
}
