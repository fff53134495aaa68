module completions {

  # Tell which TCP ports of a host are open, honestly. Without a command: serve.
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
    --listen: string          # address and port to listen on (127.0.0.1:8080, or all interfaces at the port in PORT)
    --host: string            # names that Host may have besides localhost and the addresses of loopback, with commas between (any, unless only this host can connect)
    --allow: string           # what may be scanned: networks and addresses, each with a port or a range if wanted, or private, loopback, link-local, any; required unless only this host can connect
    --deny: string            # what may not be scanned, whatever is allowed
    --tokens: path            # file of bearer tokens, a line name:token each; read again when it changes (nobody needs a token)
    --max-scans: string       # scans at once (16)
    --max-scans-per-caller: string # scans at once of one caller, also those it joins (8)
    --max-scans-per-target: string # scans at once of one address (1); the same scan again joins the first
    --max-rate: string        # probes a second of all scans together (0, no ceiling)
    --max-scan-rate: string   # probes a second of one scan (0, no ceiling)
    --max-deadline: string    # seconds a scan may take (300)
    --drain-delay: string     # seconds to go on accepting after SIGTERM, while not ready (0)
    --grace: string           # seconds that running requests may take after that (30)
    --metrics-listen: string  # address and port for /metrics alone, without tokens (none)
    --log: string@"nu-complete open-ports serve log" # least important level to log: error, warn, info, debug, trace (info)
    --log-format: string@"nu-complete open-ports serve log-format" # text or json (text on a terminal, json otherwise)
    --help(-h)                # Print help
  ]

  def "nu-complete open-ports scan family" [] {
    [ "any" "ipv4" "ipv6" ]
  }

  def "nu-complete open-ports scan format" [] {
    [ "table" "plain" "json" "ndjson" "csv" "grepable" "xml" ]
  }

  # Scan hosts and print what is open.
  export extern "open-ports scan" [
    --ports(-p): string       # the ports, like 22,80,8000-8100,top100, or all (top1000)
    --to-port: string         # the ports from 1 to this one
    --top: string             # as many ports, the most common first, 1 to 1000
    --targets: path           # more hosts, from a file, or - for standard input
    --exclude: string         # hosts not to scan, apart by commas
    --family: string@"nu-complete open-ports scan family" # addresses of names to scan: any, ipv4 or ipv6 (any)
    --timeout-ms: string      # how long each port may take to answer (2000)
    --deadline-ms: string     # how long the whole scan may take (no limit)
    --rate: string            # probes a second, at most (no limit)
    --details                 # tell of filtered ports too, one by one
    --format: string@"nu-complete open-ports scan format" # table, plain, json, ndjson, csv, grepable or xml (table on a terminal, plain otherwise)
    --output: path            # write to a file, whole or not at all
    --expect: string          # the ports that ought to be open on each host, or none
    --expect-file: path       # file of hosts to scan and their ports, a line "host 22,443" each
    --allow: string           # what may be scanned (any); also OPEN_PORTS_ALLOW
    --deny: string            # what may not, whatever is allowed; also OPEN_PORTS_DENY
    --seed: string            # a number that makes the order of the probes repeatable
    --help(-h)                # Print help
    ...host: string           # names, addresses, networks (10.0.0.0/24) or ranges (10.0.0.1-50)
  ]

  # Tell what this machine allows a scan, and what to change.
  export extern "open-ports doctor" [
    --help(-h)                # Print help
  ]

  # Ask the service here whether it lives: exit status 0 if so, 1 if not. Finds it by the same flag and variables as serve.
  export extern "open-ports healthcheck" [
    --listen: string          # address and port that the service listens on (127.0.0.1:8080, or the port in PORT)
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
