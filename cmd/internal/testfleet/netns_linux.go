package testfleet

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
)

// Namespace is a network namespace for scouts, joined to this one by a pair of
// virtual interfaces. What its network does not let pass is lost, and neither
// end is told.
type Namespace struct {
	Here, There string // addresses of this end and of that in the namespace

	name, link string // link is the interface at this end
}

var namespaces struct {
	sync.Mutex
	n int
}

// NewNamespace makes a namespace. That takes root's privileges.
func NewNamespace() (*Namespace, error) {
	namespaces.Lock()
	n := (os.Getpid()*16 + namespaces.n) % 16_000 // other processes make some, too
	namespaces.n++
	namespaces.Unlock()
	net := fmt.Sprintf("198.%d.%d.", 18+n/8192, n/64%128*2) // of those for benchmarks, RFC 2544
	ns := &Namespace{
		Here: net + strconv.Itoa(n%64*4+1), There: net + strconv.Itoa(n%64*4+2),
		name: fmt.Sprint("scout-test-", n), link: fmt.Sprint("scout", n),
	}
	err := ns.run(
		"ip netns add NS",
		"ip link add LINK type veth peer name eth0 netns NS",
		"ip addr add HERE/30 dev LINK",
		"ip link set LINK up",
		"ip -n NS addr add THERE/30 dev eth0",
		"ip -n NS link set eth0 up",
		"ip -n NS link set lo up",
	)
	if err != nil {
		ns.Close()
		return nil, fmt.Errorf("make a network namespace: %w", err)
	}
	return ns, nil
}

// NamespacesWork returns why this machine has no network namespaces whose
// packets can be lost and slowed down, or nil.
func NamespacesWork() error {
	ns, err := NewNamespace()
	if err != nil {
		return err
	}
	defer ns.Close()
	return errors.Join(ns.Set(Condition{Rate: 1 << 20}), ns.Set(Condition{Silent: true, Deaf: true}))
}

// Enter returns the beginning of a command that is to run in the namespace.
func (ns *Namespace) Enter() []string { return []string{"ip", "netns", "exec", ns.name} }

// Close removes the namespace, and with it both interfaces.
func (ns *Namespace) Close() {
	ns.run("ip link del LINK") //nolint:errcheck // it may not have come to be
	ns.run("ip netns del NS")  //nolint:errcheck // likewise
}

// Set puts the network into a condition, of which Cut, Keeps and Delay are not
// possible.
func (ns *Namespace) Set(c Condition) error {
	for _, undo := range []string{
		"ip -n NS neigh del HERE dev eth0", "ip neigh del THERE dev LINK",
		"tc qdisc del dev LINK root", "tc -n NS qdisc del dev eth0 root",
	} {
		ns.run(undo) //nolint:errcheck // there may be nothing to undo
	}
	// Packets for a station that is not there are lost.
	const nowhere = " lladdr 02:00:00:00:00:99 nud permanent"
	var commands []string
	if c.Silent {
		commands = append(commands, "ip -n NS neigh replace HERE dev eth0"+nowhere)
	}
	if c.Deaf {
		commands = append(commands, "ip neigh replace THERE dev LINK"+nowhere)
	}
	if c.Rate > 0 {
		slow := fmt.Sprintf(" root tbf rate %dbit burst 32k latency 500ms", 8*c.Rate)
		commands = append(commands, "tc qdisc add dev LINK"+slow, "tc -n NS qdisc add dev eth0"+slow)
	}
	return ns.run(commands...)
}

// run runs commands up to the first that fails.
func (ns *Namespace) run(commands ...string) error {
	names := strings.NewReplacer("NS", ns.name, "LINK", ns.link, "HERE", ns.Here, "THERE", ns.There)
	for _, c := range commands {
		if err := Run(strings.Fields(names.Replace(c))...); err != nil {
			return err
		}
	}
	return nil
}
