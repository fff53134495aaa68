// A goroutine a port: the scanner that comes first to mind in Go, for the race.
package main

import (
	"flag"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

func main() {
	timeout := flag.Duration("timeout", time.Second, "how long a port may take to answer")
	atOnce := flag.Int("at-once", 0, "connections at once; 0 is no limit")
	flag.Parse()
	if flag.NArg() != 2 {
		fmt.Fprintln(os.Stderr, "usage: goroutines [-timeout 1s] [-at-once N] ADDRESS[/BITS] PORTS")
		os.Exit(2)
	}
	places := make(chan struct{}, max(*atOnce, 1))
	var all sync.WaitGroup
	for _, host := range hosts(flag.Arg(0)) {
		for _, port := range ports(flag.Arg(1)) {
			if *atOnce > 0 {
				places <- struct{}{}
			}
			all.Add(1)
			go func(target string) {
				defer all.Done()
				if connection, err := net.DialTimeout("tcp", target, *timeout); err == nil {
					connection.Close()
					fmt.Println(target)
				}
				if *atOnce > 0 {
					<-places
				}
			}(net.JoinHostPort(host, strconv.Itoa(port)))
		}
	}
	all.Wait()
}

func max(a, b int) int {
	if a > b {
		return a
	}
	return b
}

func hosts(word string) (all []string) {
	address, network, err := net.ParseCIDR(word)
	if err != nil {
		return []string{word}
	}
	for address = network.IP; network.Contains(address); address = after(address) {
		all = append(all, address.String())
	}
	return all
}

func after(address net.IP) net.IP {
	next := append(net.IP(nil), address...)
	for i := len(next) - 1; i >= 0; i-- {
		if next[i]++; next[i] != 0 {
			break
		}
	}
	return next
}

func ports(list string) (all []int) {
	for _, word := range strings.Split(list, ",") {
		first, last, isRange := strings.Cut(word, "-")
		if !isRange {
			last = first
		}
		from, err := strconv.Atoi(first)
		to, err2 := strconv.Atoi(last)
		if err != nil || err2 != nil {
			fmt.Fprintln(os.Stderr, "no port:", word)
			os.Exit(2)
		}
		for port := from; port <= to; port++ {
			all = append(all, port)
		}
	}
	return all
}
