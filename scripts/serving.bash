# Source this to run the service for a script. It stops when the script ends.
#
#   build            builds the binary and sets $open_ports to its path
#   serve ARGUMENTS  starts it on a free port of 127.0.0.1 and sets $url
#
# $scratch is a directory that is removed when the script ends.

scratch=$(mktemp -d)
service=
trap 'stop; rm -rf "$scratch"' EXIT

build() {
    cargo build --quiet --locked --bin open-ports
    local target
    target=$(cargo metadata --locked --no-deps --format-version 1 |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
    open_ports=$target/debug/open-ports
}

serve() {
    # With an empty environment: the caller's settings must not count.
    env -i "$open_ports" serve --listen 127.0.0.1:0 --log-format json "$@" 2>"$scratch/log" &
    service=$!
    local deadline=$((SECONDS + 10)) address=
    until [ -n "$address" ]; do
        if [ $SECONDS -ge $deadline ] || ! kill -0 "$service"; then
            echo "the service does not start:" >&2
            cat "$scratch/log" >&2
            exit 1
        fi
        sleep 0.05
        address=$(sed -n 's/.*"message":"serving","listen":"\([^"]*\)".*/\1/p' "$scratch/log")
    done
    url=http://$address
}

stop() {
    [ -z "$service" ] || kill "$service" || true
    [ -z "$service" ] || wait "$service" || true
    service=
}
