# Source this to build the image without a registry: its base images are local
# stand-ins (scripts/stand-ins). podman and buildah then work on their storage.
#
#   build_image LOG [OPTION…]  builds the image $image, with options of buildah, and
#                              prints its name and size

image=localhost/open-ports:proof
stand_ins=$(scripts/stand-ins)
eval "$stand_ins"

build_image() {
    # In the machine's network: crates may not be reachable from a container's.
    local log=$1
    shift
    TAG=$image BUILDER=buildah scripts/image --network host "$@" >"$log" 2>&1 ||
        { tail -n 30 "$log" >&2; return 1; }
    tail -n 1 "$log"
}
