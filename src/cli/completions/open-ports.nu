module completions {

  # Report which TCP ports of a host are open. Without a command: serve.
  export extern open-ports [
    --help(-h)                # Print help
    --version(-V)             # Print version
  ]

  def "nu-complete open-ports serve log" [] {
    [ "error" "warn" "info" "debug" "trace" ]
  }

  def "nu-complete open-ports serve log-format" [] {
    [ "text" "json" ]
  }

  # Answer GET /open-ports over HTTP. Every option is also an environment variable: --max-scans is OPEN_PORTS_MAX_SCANS.
  export extern "open-ports serve" [
    --listen: string          # address and port to listen on; if omitted while PORT is set, that port on all interfaces (default: 127.0.0.1:8080)
    --host: string            # names that Host may have besides localhost and addresses, separated by commas (default: none on a loopback listener, any on others)
    --allow: string           # what may be scanned: networks and addresses, each with an optional port or range, or private, loopback, link-local, any; separated by commas (default: any on a loopback listener, required on others)
    --deny: string            # never scan these, even if allowed (default: none)
    --tokens: path            # file of bearer tokens, one name:token per line; it is read again when it changes (default: no token is required)
    --max-scans: string       # most concurrent scans (default: 16)
    --max-scans-per-caller: string # most concurrent scans of one caller (token, IPv4 address or IPv6 /64), including those it joins (default: 8)
    --max-scans-per-target: string # most concurrent scans of one address; an identical scan joins the running one (default: 1)
    --max-sweep-targets: string # most targets (addresses times ports) of one sweep; the default is as many as the largest scan of one name has (default: 1048576)
    --max-rate: string        # most probes per second of all scans together; 0 is no limit (default: 0)
    --max-scan-rate: string   # most probes per second of one scan; 0 is no limit (default: 0)
    --max-deadline: string    # seconds that a scan may take (default: 300)
    --timeout-offset: string  # seconds that /probe replies before its scrape gives up, also with decimals (default: 0.5)
    --drain-delay: string     # seconds to go on accepting clients after SIGTERM, while /readyz replies 503 (default: 0)
    --grace: string           # seconds that running requests may take after the drain delay (default: 30)
    --metrics-listen: string  # a second address and port, for /metrics alone and without tokens (default: none)
    --peers: string           # name whose addresses are the instances that /matrix asks, with their port if it is another than this one's; in Kubernetes a headless Service (default: none)
    --pod: string             # name of the pod, for the rows of /matrix (default: none)
    --namespace: string       # namespace of the pod, likewise (default: none)
    --node: string            # node of the pod, likewise (default: none)
    --zone: string            # zone of the node, likewise (default: none)
    --log: string@"nu-complete open-ports serve log" # least important level to log: error, warn, info, debug or trace (default: info)
    --log-format: string@"nu-complete open-ports serve log-format" # text or json (default: text on a terminal, json otherwise)
    --help(-h)                # Print help
  ]

  def "nu-complete open-ports scan family" [] {
    [ "any" "ipv4" "ipv6" ]
  }

  def "nu-complete open-ports scan format" [] {
    [ "table" "plain" "json" "ndjson" "csv" "grepable" "xml" "junit" "tap" "github" "sarif" "file-sd" ]
  }

  # Scan hosts and print what is open.
  export extern "open-ports scan" [
    --ports(-p): string       # ports to scan: numbers, ranges (8000-8100, 8000-, -1024), services (https), top100 or all, separated by commas (default: the ports behind hosts, or top1000)
    --to-port: string         # scan the ports from 1 to this one
    --top: string             # scan this many of the most common ports, 1 to 1000
    --targets: path           # more hosts, from a file, or - for standard input (also -iL)
    --exclude: string         # addresses and networks not to scan, separated by commas
    --family: string@"nu-complete open-ports scan family" # which addresses of a name to scan (default: any)
    --ipv4(-4)                # short for --family ipv4
    --ipv6(-6)                # short for --family ipv6
    --timeout-ms: string      # how long a port may take to answer: milliseconds, or with a unit, like 2s (default: 2000)
    --deadline-ms: string     # how long the whole scan may take: milliseconds, or with a unit, like 5m (default: no limit)
    --rate: string            # most probes per second (default: no limit)
    --details                 # list filtered ports too
    --format: string@"nu-complete open-ports scan format" # format of the output (default: by the ending of --output, else table on a terminal and plain elsewhere)
    --output: path            # write to this file, which is replaced only by complete output. Without --format its ending says the format: .txt, .json, .ndjson, .csv, .gnmap, .xml, .junit.xml, .tap or .sarif. Repeat it for more files
    --output-xml: path        # write nmap's XML to this file, or to standard output (-) (also -oX)
    --output-grepable: path   # write nmap's grepable format to this file, or to standard output (-) (also -oG)
    --output-json: path       # write JSON to this file, or to standard output (-) (also -oJ)
    --expect: string          # the ports that ought to be open on each host, or none; they are scanned, too. Exits with 5 if the open ports differ
    --expect-file: path       # scan the hosts in this file and expect these ports, each line like "web.internal 22,443"
    --against: path           # compare with an earlier report: JSON, NDJSON, or nmap's XML or grepable format, or - for standard input. Exits with 5 if a port changed
    --learn: path             # write what is open to this file, as --expect-file reads it
    --update                  # with --learn, change only the lines of the file that are no longer true, and add those of new hosts; comments and order stay
    --verbose(-v)             # print on standard error what is to be scanned, and a line for each host (also -vv)
    --quiet(-q)               # print no progress and no notes; results, warnings and errors stay
    --allow: string           # scan only what these rules allow; also OPEN_PORTS_ALLOW (default: any)
    --deny: string            # never scan these, even if allowed; also OPEN_PORTS_DENY (default: none)
    --ask-cloud-metadata      # scan the addresses of cloud metadata services, too, which are never scanned otherwise
    --dry-run                 # send nothing; print how long the scan would take, what that depends on, and how many shards are done within --deadline-ms
    --shard: string           # scan one of several disjoint parts of the hosts, like 3/16; with auto, the part of a pod: JOB_COMPLETION_INDEX (from 0) of OPEN_PORTS_SHARDS
    --seed: string            # number that makes the order of the probes repeatable; with --shard, all parts need the same (random; 0 with --shard)
    --help(-h)                # Print help
    ...host: string           # names, addresses, networks (10.0.0.0/24) or ranges (10.0.0.1-50), each with or without a port (10.0.0.1:22)
  ]

  def "nu-complete open-ports watch family" [] {
    [ "any" "ipv4" "ipv6" ]
  }

  def "nu-complete open-ports watch format" [] {
    [ "text" "ndjson" ]
  }

  # Watch ports and print each change.
  export extern "open-ports watch" [
    --ports(-p): string       # ports to watch: numbers, ranges (8000-8010) or services (https), separated by commas (default: the ports behind hosts, and those of --until)
    --every: string           # time between two probes of a port, like 20ms (default: 1s)
    --until: string           # end once the ports have these states: ports with open, closed, filtered or not-open (5432=open,22=filtered), or one state of all ports
    --within: string          # how much time there is for --until, like 30s (default: no limit)
    --settle: string          # how long --until has to hold, like 2s (default: a moment)
    --timeout-ms: string      # how long a port may take to answer: milliseconds, or with a unit (default: 1000, which is the most)
    --family: string@"nu-complete open-ports watch family" # which addresses of a name to watch (default: any)
    --ipv4(-4)                # short for --family ipv4
    --ipv6(-6)                # short for --family ipv6
    --format: string@"nu-complete open-ports watch format" # format of the output (default: text on a terminal, ndjson elsewhere)
    --quiet(-q)               # print no notes; changes and errors stay
    --allow: string           # watch only what these rules allow; also OPEN_PORTS_ALLOW (default: any)
    --deny: string            # never watch these, even if allowed; also OPEN_PORTS_DENY (default: none)
    --help(-h)                # Print help
    ...host: string           # names, addresses, networks (10.0.0.0/28) or ranges (10.0.0.1-5), each with or without a port (10.0.0.1:22)
  ]

  def "nu-complete open-ports matrix format" [] {
    [ "table" "json" "ndjson" "junit" "tap" "github" "sarif" "csv" "dot" ]
  }

  # Check which vantages reach which targets, against rules.
  export extern "open-ports matrix" [
    --from: string            # vantages, separated by commas: local, a URL of open-ports, a workload like shop/web[Deployment], or a node like node/worker-1
    --to: string              # targets, separated by commas: names, addresses, networks, each with or without a port, or workloads
    --ports(-p): string       # ports to ask of every target, besides those of its rules: numbers, ranges or services, separated by commas
    --strict                  # judge what no rule mentions, too: it ought to be denied
    --settle: string          # ask again until every verdict has been the same for this time, like 1s
    --within: string          # ask again until all is as the rules say, at most for this time, like 30s
    --parallel: string        # how many vantages are asked at once (default: 16)
    --token-file: path        # a file with the token of the vantages that are URLs, or of one, written like http://10.0.0.7:8080=file. Repeat it for more
    --image: string           # the image of open-ports for pods that do not have it: for ephemeral containers, copies of workloads, and nodes
    --context: string         # the context of the kubeconfig (default: kubectl's current one)
    --timeout-ms: string      # how long a port may take to answer: milliseconds, or with a unit, like 2s (default: 2000)
    --deadline-ms: string     # how long a vantage may take: milliseconds, or with a unit, like 5m (default: 60000)
    --ask-cloud-metadata      # ask the addresses of cloud metadata services, too, which are never scanned otherwise
    --format: string@"nu-complete open-ports matrix format" # format of the output (default: table)
    --output: path            # write to this file, which is replaced only by complete output
    --quiet(-q)               # print no notes; results and errors stay
    --allow: string           # from this process, ask only what these rules allow; also OPEN_PORTS_ALLOW (default: any)
    --deny: string            # from this process, never ask these, even if allowed; also OPEN_PORTS_DENY (default: none)
    --help(-h)                # Print help
    reach.txt?: string        # the rules, or - for standard input
  ]

  def "nu-complete open-ports merge format" [] {
    [ "table" "plain" "json" "ndjson" "csv" "grepable" "xml" "junit" "tap" "github" "sarif" "file-sd" ]
  }

  # Merge the reports of shards into one.
  export extern "open-ports merge" [
    --format: string@"nu-complete open-ports merge format" # format of the output (default: table on a terminal, plain elsewhere); of ndjson only table, plain, ndjson and csv can be made
    --output: path            # write to this file, which is replaced only by complete output
    --help(-h)                # Print help
    ...file: path             # what open-ports scan --shard wrote with --format json or ndjson, or - for standard input
  ]

  def "nu-complete open-ports diff format" [] {
    [ "table" "json" "ndjson" "junit" "tap" "github" "sarif" ]
  }

  # Compare two reports and print what changed.
  export extern "open-ports diff" [
    --format: string@"nu-complete open-ports diff format" # format of the output (default: table)
    --output: path            # write to this file, which is replaced only by complete output
    --help(-h)                # Print help
    ...file: path             # the earlier report and the later one: JSON or NDJSON of open-ports, nmap's XML (-oX) or grepable format (-oG), or - for standard input
  ]

  # Print what limits scans on this machine, and what to change.
  export extern "open-ports doctor" [
    --help(-h)                # Print help
  ]

  # Check that the service on this host is alive: exit status 0 if so, 1 if not, 2 if a setting is invalid. The flag and the variables are those of serve.
  export extern "open-ports healthcheck" [
    --listen: string          # address and port that the service listens on (default: 127.0.0.1:8080, or the port in PORT)
    --help(-h)                # Print help
  ]

  # Run the scans that `open-ports matrix` asks for on standard input.
  export extern "open-ports vantage" [
    --help(-h)                # Print help
  ]

  def "nu-complete open-ports completions bash|fish|nushell|zsh" [] {
    [ "bash" "fish" "nushell" "zsh" ]
  }

  # Print a completion script for a shell.
  export extern "open-ports completions" [
    --help(-h)                # Print help
    bash|fish|nushell|zsh: string@"nu-complete open-ports completions bash|fish|nushell|zsh" # the shell
  ]

}

export use completions *
