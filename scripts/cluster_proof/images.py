"""Image archives for the nodes: open-ports under the names that the overlays give it,
and this machine's Python for the pods of the proof."""

import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile

from .cluster import Failed, run

DEV_NAME = "docker.io/library/open-ports:dev"
PROD_NAME = "registry.example.com/open-ports"
PYTHON_NAME = "docker.io/library/open-ports-proof-python:1"

# containerd, and so `ctr images import`, takes an image's whole name from here.
NAME = "io.containerd.image.name"


class OpenPorts:
    """The image, as `buildah push` wrote it to a folder in the OCI layout."""

    def __init__(self, folder):
        self.folder = folder
        self.manifest = json.loads((folder / "index.json").read_text())["manifests"][0]
        self.digest = self.manifest["digest"]

    def blob(self, digest):
        return self.folder / "blobs" / digest.replace(":", "/")

    def archive(self, path):
        """Writes an archive with the names of both overlays."""
        names = [DEV_NAME, f"{PROD_NAME}@{self.digest}"]
        blobs = {blob.name: blob.read_bytes() for blob in (self.folder / "blobs/sha256").iterdir()}
        write_archive(path, self.manifest, names, blobs)

    def extract(self, path):
        """Writes the binary of the image."""
        for layer in json.loads(self.blob(self.digest).read_text())["layers"]:
            with tarfile.open(self.blob(layer["digest"])) as tar:
                if "open-ports" in tar.getnames():
                    path.write_bytes(tar.extractfile("open-ports").read())
                    path.chmod(0o755)
                    return
        raise Failed("the image has no /open-ports")


def python_archive(path, programs):
    """Writes an archive of an image with Python, and as much of its library as `programs`
    import."""
    python = os.path.realpath(sys.executable)
    modules = json.loads(run([python, "-I", "-S", "-B", "-c", LIST_MODULES, *map(str, programs)]))
    files = {python, *modules}
    for binary in [python, *(file for file in modules if file.endswith(".so"))]:
        files |= libraries(binary)
    contents = io.BytesIO()
    with tarfile.open(fileobj=contents, mode="w") as tar:
        for file in sorted(files):
            info = tarfile.TarInfo(file.lstrip("/"))
            with open(file, "rb") as content:
                info.size, info.mode = os.fstat(content.fileno()).st_size, 0o755
                # A module's compiled form is only used if it knows this time.
                info.mtime = int(os.fstat(content.fileno()).st_mtime)
                tar.addfile(info, content)
        link = tarfile.TarInfo("python3")
        link.type, link.linkname = tarfile.SYMTYPE, python
        tar.addfile(link)
    layer, blobs = contents.getvalue(), {}
    config = {
        "architecture": "arm64" if os.uname().machine == "aarch64" else "amd64",
        "os": "linux",
        "config": {"Env": ["PATH=/"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha256(layer)}"]},
    }
    oci = "application/vnd.oci.image"
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{oci}.manifest.v1+json",
        "config": stored(blobs, f"{oci}.config.v1+json", json.dumps(config).encode()),
        "layers": [stored(blobs, f"{oci}.layer.v1.tar", layer)],
    }
    manifest = stored(blobs, manifest["mediaType"], json.dumps(manifest).encode())
    write_archive(path, manifest, [PYTHON_NAME], blobs)


def libraries(binary):
    """The shared libraries of a binary, and its loader; by the paths where it looks for them."""
    found = subprocess.run(["ldd", binary], capture_output=True, text=True)
    return set(re.findall(r"(/\S+) \(0x", found.stdout))


def stored(blobs, media_type, content):
    """Adds a blob; returns its descriptor."""
    blobs[sha256(content)] = content
    return {"mediaType": media_type, "digest": f"sha256:{sha256(content)}", "size": len(content)}


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def write_archive(path, manifest, names, blobs):
    manifests = [{**manifest, "annotations": {NAME: name}} for name in names]
    index = {"schemaVersion": 2, "manifests": manifests}
    entries = {
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        "index.json": json.dumps(index).encode(),
        **{f"blobs/sha256/{name}": content for name, content in blobs.items()},
    }
    with tarfile.open(path, "w") as tar:
        for name, content in entries.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o644
            tar.addfile(info, io.BytesIO(content))


# Prints the files of all modules that some programs import, and of those that Python
# itself needs. It finds its library by os.py, even though it has that built in.
LIST_MODULES = """
import json, os, runpy, sys
for program in sys.argv[1:]:
    runpy.run_path(program)
modules = [module for module in sys.modules.values() if getattr(module, "__file__", None)]
files = {module.__file__ for module in modules} | {os.path.join(os.path.dirname(json.__path__[0]), "os.py")}
files |= {module.__cached__ for module in modules if getattr(module, "__cached__", None)}
print(json.dumps(sorted(file for file in files - set(sys.argv[1:]) if os.path.exists(file))))
"""
