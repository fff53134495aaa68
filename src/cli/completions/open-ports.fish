# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_open_ports_global_optspecs
    string join \n h/help V/version
end

function __fish_open_ports_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_open_ports_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_open_ports_using_subcommand
    set -l cmd (__fish_open_ports_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c open-ports -n "__fish_open_ports_needs_command" -s h -l help -d 'Print help'
complete -c open-ports -n "__fish_open_ports_needs_command" -s V -l version -d 'Print version'
complete -c open-ports -n "__fish_open_ports_needs_command" -f -a "serve" -d 'Answer GET /open-ports over HTTP. Every option is also an environment variable: --max-scans is OPEN_PORTS_MAX_SCANS.'
complete -c open-ports -n "__fish_open_ports_needs_command" -f -a "scan" -d 'Scan hosts and print what is open.'
complete -c open-ports -n "__fish_open_ports_needs_command" -f -a "watch" -d 'Watch ports and print each change.'
complete -c open-ports -n "__fish_open_ports_needs_command" -f -a "matrix" -d 'Check which vantages reach which targets, against rules.'
complete -c open-ports -n "__fish_open_ports_needs_command" -f -a "merge" -d 'Merge the reports of shards into one.'
complete -c open-ports -n "__fish_open_ports_needs_command" -f -a "diff" -d 'Compare two reports and print what changed.'
complete -c open-ports -n "__fish_open_ports_needs_command" -f -a "doctor" -d 'Print what limits scans on this machine, and what to change.'
complete -c open-ports -n "__fish_open_ports_needs_command" -f -a "healthcheck" -d 'Check that the service on this host is alive: exit status 0 if so, 1 if not, 2 if a setting is invalid. The flag and the variables are those of serve.'
complete -c open-ports -n "__fish_open_ports_needs_command" -f -a "vantage" -d 'Run the scans that `open-ports matrix` asks for on standard input.'
complete -c open-ports -n "__fish_open_ports_needs_command" -f -a "completions" -d 'Print a completion script for a shell.'
complete -c open-ports -n "__fish_open_ports_using_subcommand serve" -l listen -d 'address and port to listen on; if omitted while PORT is set, that port on all interfaces (default: 127.0.0.1:8080)' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand serve" -l host -d 'names that Host may have besides localhost and addresses, separated by commas (default: none on a loopback listener, any on others)' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand serve" -l allow -d 'what may be scanned: networks and addresses, each with an optional port or range, or private, loopback, link-local, any; separated by commas (default: any on a loopback listener, required on others)' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand serve" -l deny -d 'never scan these, even if allowed (default: none)' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand serve" -l tokens -d 'file of bearer tokens, one name:token per line; it is read again when it changes (default: no token is required)' -r -F
complete -c open-ports -n "__fish_open_ports_using_subcommand serve" -l max-scans -d 'most concurrent scans (default: 16)' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand serve" -l max-scans-per-caller -d 'most concurrent scans of one caller (token, IPv4 address or IPv6 /64), including those it joins (default: 8)' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand serve" -l max-scans-per-target -d 'most concurrent scans of one address; an identical scan joins the running one (default: 1)' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand serve" -l max-sweep-targets -d 'most targets (addresses times ports) of one sweep; the default is as many as the largest scan of one name has (default: 1048576)' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand serve" -l max-rate -d 'most probes per second of all scans together; 0 is no limit (default: 0)' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand serve" -l max-scan-rate -d 'most probes per second of one scan; 0 is no limit (default: 0)' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand serve" -l max-deadline -d 'seconds that a scan may take (default: 300)' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand serve" -l timeout-offset -d 'seconds that /probe replies before its scrape gives up, also with decimals (default: 0.5)' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand serve" -l drain-delay -d 'seconds to go on accepting clients after SIGTERM, while /readyz replies 503 (default: 0)' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand serve" -l grace -d 'seconds that running requests may take after the drain delay (default: 30)' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand serve" -l metrics-listen -d 'a second address and port, for /metrics alone and without tokens (default: none)' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand serve" -l peers -d 'name whose addresses are the instances that /matrix asks, with their port if it is another than this one\'s; in Kubernetes a headless Service (default: none)' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand serve" -l pod -d 'name of the pod, for the rows of /matrix (default: none)' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand serve" -l namespace -d 'namespace of the pod, likewise (default: none)' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand serve" -l node -d 'node of the pod, likewise (default: none)' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand serve" -l zone -d 'zone of the node, likewise (default: none)' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand serve" -l log -d 'least important level to log: error, warn, info, debug or trace (default: info)' -r -f -a "error\t''
warn\t''
info\t''
debug\t''
trace\t''"
complete -c open-ports -n "__fish_open_ports_using_subcommand serve" -l log-format -d 'text or json (default: text on a terminal, json otherwise)' -r -f -a "text\t''
json\t''"
complete -c open-ports -n "__fish_open_ports_using_subcommand serve" -s h -l help -d 'Print help'
complete -c open-ports -n "__fish_open_ports_using_subcommand scan" -s p -l ports -d 'ports to scan: numbers, ranges (8000-8100, 8000-, -1024), services (https), top100 or all, separated by commas (default: the ports behind hosts, or top1000)' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand scan" -l to-port -d 'scan the ports from 1 to this one' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand scan" -l top -d 'scan this many of the most common ports, 1 to 1000' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand scan" -l targets -d 'more hosts, from a file, or - for standard input (also -iL)' -r -F
complete -c open-ports -n "__fish_open_ports_using_subcommand scan" -l exclude -d 'addresses and networks not to scan, separated by commas' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand scan" -l family -d 'which addresses of a name to scan (default: any)' -r -f -a "any\t''
ipv4\t''
ipv6\t''"
complete -c open-ports -n "__fish_open_ports_using_subcommand scan" -l timeout-ms -d 'how long a port may take to answer: milliseconds, or with a unit, like 2s (default: 2000)' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand scan" -l deadline-ms -d 'how long the whole scan may take: milliseconds, or with a unit, like 5m (default: no limit)' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand scan" -l rate -d 'most probes per second (default: no limit)' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand scan" -l format -d 'format of the output (default: by the ending of --output, else table on a terminal and plain elsewhere)' -r -f -a "table\t''
plain\t''
json\t''
ndjson\t''
csv\t''
grepable\t''
xml\t''
junit\t''
tap\t''
github\t''
sarif\t''
file-sd\t''"
complete -c open-ports -n "__fish_open_ports_using_subcommand scan" -l output -d 'write to this file, which is replaced only by complete output. Without --format its ending says the format: .txt, .json, .ndjson, .csv, .gnmap, .xml, .junit.xml, .tap or .sarif. Repeat it for more files' -r -F
complete -c open-ports -n "__fish_open_ports_using_subcommand scan" -l output-xml -d 'write nmap\'s XML to this file, or to standard output (-) (also -oX)' -r -F
complete -c open-ports -n "__fish_open_ports_using_subcommand scan" -l output-grepable -d 'write nmap\'s grepable format to this file, or to standard output (-) (also -oG)' -r -F
complete -c open-ports -n "__fish_open_ports_using_subcommand scan" -l output-json -d 'write JSON to this file, or to standard output (-) (also -oJ)' -r -F
complete -c open-ports -n "__fish_open_ports_using_subcommand scan" -l expect -d 'the ports that ought to be open on each host, or none; they are scanned, too. Exits with 5 if the open ports differ' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand scan" -l expect-file -d 'scan the hosts in this file and expect these ports, each line like "web.internal 22,443"' -r -F
complete -c open-ports -n "__fish_open_ports_using_subcommand scan" -l against -d 'compare with an earlier report: JSON, NDJSON, or nmap\'s XML or grepable format, or - for standard input. Exits with 5 if a port changed' -r -F
complete -c open-ports -n "__fish_open_ports_using_subcommand scan" -l learn -d 'write what is open to this file, as --expect-file reads it' -r -F
complete -c open-ports -n "__fish_open_ports_using_subcommand scan" -l allow -d 'scan only what these rules allow; also OPEN_PORTS_ALLOW (default: any)' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand scan" -l deny -d 'never scan these, even if allowed; also OPEN_PORTS_DENY (default: none)' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand scan" -l shard -d 'scan one of several disjoint parts of the hosts, like 3/16; with auto, the part of a pod: JOB_COMPLETION_INDEX (from 0) of OPEN_PORTS_SHARDS' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand scan" -l seed -d 'number that makes the order of the probes repeatable; with --shard, all parts need the same (random; 0 with --shard)' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand scan" -s 4 -l ipv4 -d 'short for --family ipv4'
complete -c open-ports -n "__fish_open_ports_using_subcommand scan" -s 6 -l ipv6 -d 'short for --family ipv6'
complete -c open-ports -n "__fish_open_ports_using_subcommand scan" -l details -d 'list filtered ports too'
complete -c open-ports -n "__fish_open_ports_using_subcommand scan" -l update -d 'with --learn, change only the lines of the file that are no longer true, and add those of new hosts; comments and order stay'
complete -c open-ports -n "__fish_open_ports_using_subcommand scan" -s v -l verbose -d 'print on standard error what is to be scanned, and a line for each host (also -vv)'
complete -c open-ports -n "__fish_open_ports_using_subcommand scan" -s q -l quiet -d 'print no progress and no notes; results, warnings and errors stay'
complete -c open-ports -n "__fish_open_ports_using_subcommand scan" -l ask-cloud-metadata -d 'scan the addresses of cloud metadata services, too, which are never scanned otherwise'
complete -c open-ports -n "__fish_open_ports_using_subcommand scan" -l dry-run -d 'send nothing; print how long the scan would take, what that depends on, and how many shards are done within --deadline-ms'
complete -c open-ports -n "__fish_open_ports_using_subcommand scan" -s h -l help -d 'Print help'
complete -c open-ports -n "__fish_open_ports_using_subcommand watch" -s p -l ports -d 'ports to watch: numbers, ranges (8000-8010) or services (https), separated by commas (default: the ports behind hosts, and those of --until)' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand watch" -l every -d 'time between two probes of a port, like 20ms (default: 1s)' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand watch" -l until -d 'end once the ports have these states: ports with open, closed, filtered or not-open (5432=open,22=filtered), or one state of all ports' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand watch" -l within -d 'how much time there is for --until, like 30s (default: no limit)' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand watch" -l settle -d 'how long --until has to hold, like 2s (default: a moment)' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand watch" -l timeout-ms -d 'how long a port may take to answer: milliseconds, or with a unit (default: 1000, which is the most)' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand watch" -l family -d 'which addresses of a name to watch (default: any)' -r -f -a "any\t''
ipv4\t''
ipv6\t''"
complete -c open-ports -n "__fish_open_ports_using_subcommand watch" -l format -d 'format of the output (default: text on a terminal, ndjson elsewhere)' -r -f -a "text\t''
ndjson\t''"
complete -c open-ports -n "__fish_open_ports_using_subcommand watch" -l allow -d 'watch only what these rules allow; also OPEN_PORTS_ALLOW (default: any)' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand watch" -l deny -d 'never watch these, even if allowed; also OPEN_PORTS_DENY (default: none)' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand watch" -s 4 -l ipv4 -d 'short for --family ipv4'
complete -c open-ports -n "__fish_open_ports_using_subcommand watch" -s 6 -l ipv6 -d 'short for --family ipv6'
complete -c open-ports -n "__fish_open_ports_using_subcommand watch" -s q -l quiet -d 'print no notes; changes and errors stay'
complete -c open-ports -n "__fish_open_ports_using_subcommand watch" -s h -l help -d 'Print help'
complete -c open-ports -n "__fish_open_ports_using_subcommand matrix" -l from -d 'vantages, separated by commas: local, a URL of open-ports, a workload like shop/web[Deployment], or a node like node/worker-1' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand matrix" -l to -d 'targets, separated by commas: names, addresses, networks, each with or without a port, or workloads' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand matrix" -s p -l ports -d 'ports to ask of every target, besides those of its rules: numbers, ranges or services, separated by commas' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand matrix" -l settle -d 'ask again until every verdict has been the same for this time, like 1s' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand matrix" -l within -d 'ask again until all is as the rules say, at most for this time, like 30s' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand matrix" -l parallel -d 'how many vantages are asked at once (default: 16)' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand matrix" -l token-file -d 'a file with the token of the vantages that are URLs, or of one, written like http://10.0.0.7:8080=file. Repeat it for more' -r -F
complete -c open-ports -n "__fish_open_ports_using_subcommand matrix" -l image -d 'the image of open-ports for pods that do not have it: for ephemeral containers, copies of workloads, and nodes' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand matrix" -l context -d 'the context of the kubeconfig (default: kubectl\'s current one)' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand matrix" -l timeout-ms -d 'how long a port may take to answer: milliseconds, or with a unit, like 2s (default: 2000)' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand matrix" -l deadline-ms -d 'how long a vantage may take: milliseconds, or with a unit, like 5m (default: 60000)' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand matrix" -l format -d 'format of the output (default: table)' -r -f -a "table\t''
json\t''
ndjson\t''
junit\t''
tap\t''
github\t''
sarif\t''
csv\t''
dot\t''"
complete -c open-ports -n "__fish_open_ports_using_subcommand matrix" -l output -d 'write to this file, which is replaced only by complete output' -r -F
complete -c open-ports -n "__fish_open_ports_using_subcommand matrix" -l allow -d 'from this process, ask only what these rules allow; also OPEN_PORTS_ALLOW (default: any)' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand matrix" -l deny -d 'from this process, never ask these, even if allowed; also OPEN_PORTS_DENY (default: none)' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand matrix" -l strict -d 'judge what no rule mentions, too: it ought to be denied'
complete -c open-ports -n "__fish_open_ports_using_subcommand matrix" -l ask-cloud-metadata -d 'ask the addresses of cloud metadata services, too, which are never scanned otherwise'
complete -c open-ports -n "__fish_open_ports_using_subcommand matrix" -s q -l quiet -d 'print no notes; results and errors stay'
complete -c open-ports -n "__fish_open_ports_using_subcommand matrix" -s h -l help -d 'Print help'
complete -c open-ports -n "__fish_open_ports_using_subcommand merge" -l format -d 'format of the output (default: table on a terminal, plain elsewhere); of ndjson only table, plain, ndjson and csv can be made' -r -f -a "table\t''
plain\t''
json\t''
ndjson\t''
csv\t''
grepable\t''
xml\t''
junit\t''
tap\t''
github\t''
sarif\t''
file-sd\t''"
complete -c open-ports -n "__fish_open_ports_using_subcommand merge" -l output -d 'write to this file, which is replaced only by complete output' -r -F
complete -c open-ports -n "__fish_open_ports_using_subcommand merge" -s h -l help -d 'Print help'
complete -c open-ports -n "__fish_open_ports_using_subcommand diff" -l format -d 'format of the output (default: table)' -r -f -a "table\t''
json\t''
ndjson\t''
junit\t''
tap\t''
github\t''
sarif\t''"
complete -c open-ports -n "__fish_open_ports_using_subcommand diff" -l output -d 'write to this file, which is replaced only by complete output' -r -F
complete -c open-ports -n "__fish_open_ports_using_subcommand diff" -s h -l help -d 'Print help'
complete -c open-ports -n "__fish_open_ports_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c open-ports -n "__fish_open_ports_using_subcommand healthcheck" -l listen -d 'address and port that the service listens on (default: 127.0.0.1:8080, or the port in PORT)' -r -f
complete -c open-ports -n "__fish_open_ports_using_subcommand healthcheck" -s h -l help -d 'Print help'
complete -c open-ports -n "__fish_open_ports_using_subcommand vantage" -s h -l help -d 'Print help'
complete -c open-ports -n "__fish_open_ports_using_subcommand completions" -s h -l help -d 'Print help'
