//go:build linux

package main

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
)

// cable is a link over a network of its own: a namespace and a pair of virtual
// interfaces. What does not pass is lost, and nobody is told.
type cable struct {
	namespace, near, far string // near is the interface on the master's side
	ip, port             string // of the master
}

// cablesWork says why there are no cables here, or nil.
func cablesWork() error {
	c, err := newCable(0, "1")
	if err != nil {
		return err
	}
	defer c.close()
	return c.set(condition{silent: true, deaf: true})
}

func newCable(number int, port string) (*cable, error) {
	// Other runs on this machine have other process IDs.
	id := os.Getpid()%4096*16 + number%16
	c := &cable{
		namespace: fmt.Sprintf("chaos-%d-%d", os.Getpid(), number),
		near:      fmt.Sprintf("ch%dn", id),
		far:       fmt.Sprintf("ch%df", id),
		port:      port,
	}
	net := fmt.Sprintf("10.%d.%d.", 220+id/16384, id/64%256)
	host := id % 64 * 4
	c.ip = net + strconv.Itoa(host+1)
	err := runAll(
		"ip netns add "+c.namespace,
		"ip link add "+c.near+" type veth peer name "+c.far+" netns "+c.namespace,
		"ip addr add "+c.ip+"/30 dev "+c.near,
		"ip link set "+c.near+" up",
		"ip -n "+c.namespace+" addr add "+net+strconv.Itoa(host+2)+"/30 dev "+c.far,
		"ip -n "+c.namespace+" link set "+c.far+" up",
	)
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *cable) address() string { return net.JoinHostPort(c.ip, c.port) }
func (c *cable) enter() []string { return []string{"ip", "netns", "exec", c.namespace} }
func (c *cable) cuts() bool      { return false }

// close removes the namespace, and with it both interfaces.
func (c *cable) close() {
	runAll("ip link del " + c.near)       //nolint:errcheck // it may not have come to be
	runAll("ip netns del " + c.namespace) //nolint:errcheck // likewise
}

func (c *cable) set(now condition) error {
	near, far := "tc qdisc %s dev "+c.near+" root", "tc -n "+c.namespace+" qdisc %s dev "+c.far+" root"
	runAll(fmt.Sprintf(near, "del")) //nolint:errcheck // there may be nothing to remove
	runAll(fmt.Sprintf(far, "del"))  //nolint:errcheck // likewise
	if now.silent && now.deaf {
		return runAll("ip link set " + c.near + " down")
	}
	commands := []string{"ip link set " + c.near + " up"}
	const nothing = " tbf rate 8bit burst 1 limit 1" // no packet is so small
	switch {
	case now.silent:
		commands = append(commands, fmt.Sprintf(far, "add")+nothing)
	case now.deaf:
		commands = append(commands, fmt.Sprintf(near, "add")+nothing)
	case now.rate > 0:
		slow := fmt.Sprintf(" tbf rate %dbit burst 32k latency 500ms", 8*now.rate)
		commands = append(commands, fmt.Sprintf(near, "add")+slow, fmt.Sprintf(far, "add")+slow)
	}
	return runAll(commands...)
}

// runAll runs commands up to the first that fails.
func runAll(commands ...string) error {
	for _, c := range commands {
		if err := run(strings.Fields(c)...); err != nil {
			return err
		}
	}
	return nil
}
