package client_test

import (
	"context"
	"fmt"
	"time"

	"scout/client"
)

func ExampleClient_List() {
	master := newMaster()
	defer master.close()
	c, err := client.New(master.url, client.Options{})
	if err != nil {
		panic(err)
	}
	logs := client.Query{Hosts: []string{"web-01"}, Matches: []string{"**/*.log"}}
	for file, err := range c.List(context.Background(), logs) {
		if err != nil {
			panic(err)
		}
		fmt.Println(file.Host, file.Path())
	}
	// Output:
	// web-01 /srv/data/app.log
	// web-01 /srv/data/logs/2026/app.log
}

func ExampleClient_Watch() {
	master := newMaster()
	defer master.close()
	c, err := client.New(master.url, client.Options{})
	if err != nil {
		panic(err)
	}
	known := map[client.File]bool{}
	for change, err := range c.Watch(context.Background(), client.Query{}, client.WatchOptions{}) {
		if err != nil {
			panic(err)
		}
		if change.Reset {
			clear(known)
		}
		for _, f := range change.Removed {
			delete(known, f)
		}
		for _, f := range change.Added {
			known[f] = true
		}
		if change.ID != "" { // all of the list is known
			fmt.Println(len(known), "files")
			break
		}
	}
	// Output:
	// 4 files
}

func ExampleClient_Fresh() {
	master := newMaster()
	defer master.close()
	c, err := client.New(master.url, client.Options{})
	if err != nil {
		panic(err)
	}
	files, unconfirmed, err := c.Fresh(context.Background(), client.Query{Prefixes: []string{"logs/"}}, 2*time.Second)
	if err != nil {
		panic(err)
	}
	for _, f := range files {
		fmt.Println(f.Name)
	}
	fmt.Println(len(unconfirmed), "scouts could not say")
	// Output:
	// logs/2026/app.log
	// 0 scouts could not say
}
