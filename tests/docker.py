"""What Dockerfiles and `docker run` lines mean, done with runc: for recipes that are to be tried without a Docker engine.

Only what the recipes use is understood; anything else is an AssertionError. A base image is a root file system that the
test names; nothing is downloaded.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional

import oci

Base = Callable[[Path], Path]


class Image(NamedTuple):
    """A root file system and what it starts."""

    root: Path
    entrypoint: List[str]
    command: List[str]


class Engine:
    """Builds images in a folder, with `context` as what COPY takes from, and runs containers of them.

    `bases` makes the root of a base image by its name; the network "host" is one of our own as well.
    """

    def __init__(self, folder: Path, context: Path, bases: Dict[str, Base]) -> None:
        self._folder = folder
        self._context = context
        self._bases = bases
        self._images: Dict[str, Image] = {}
        self._containers: Dict[str, oci.Container] = {}
        self._networks = oci.Networks()
        self._joined: Dict[str, str] = {}

    def __enter__(self) -> "Engine":
        self._networks.__enter__()
        return self

    def __exit__(self, *problem: Any) -> None:
        for container in reversed(list(self._containers.values())):
            container.__exit__(*problem)
        self._networks.__exit__(*problem)

    def build(self, name: str, dockerfile: str) -> None:
        """Makes the image that a Dockerfile describes."""
        stages: Dict[str, Image] = {}
        image: Optional[Image] = None
        stage = ""
        for line in dockerfile.strip().splitlines():
            word, _, rest = line.strip().partition(" ")
            if word == "FROM":
                base, _, stage = rest.partition(" AS ")
                image = self._base(base, "%s-%s" % (name, stage or "last"))
            else:
                assert image is not None, line
                image = self._step(image, word, rest, stages)
            stages[stage] = image
        assert image is not None
        self._images[name] = image

    def root(self, name: str) -> Path:
        """The root file system of an image."""
        return self._images[name].root

    def _base(self, name: str, place: str) -> Image:
        if name in self._images:
            known = self._images[name]
            root = self._folder / place
            shutil.copytree(str(known.root), str(root), symlinks=True)
            return known._replace(root=root)
        return Image(self._bases[name](self._folder / place), [], [])

    def _step(self, image: Image, word: str, rest: str, stages: Dict[str, Image]) -> Image:
        if word == "COPY":
            words = rest.split()
            source = stages[words.pop(0).partition("=")[2]].root if words[0].startswith("--from=") else self._context
            self._copy(source / words[0].lstrip("/"), image.root / words[1].lstrip("/"))
            return image
        if word == "RUN":
            # A build has no secrets to keep from the host; what it writes stays below the root.
            words = json.loads(rest)
            if words[1] == "-c":
                subprocess.check_call(words, env={"PATH": "/usr/bin"}, preexec_fn=lambda: _enter(image.root))
                return image
            arguments = [str(image.root) + one if one.startswith("/") else one for one in words]
            subprocess.check_call([sys.executable] + arguments[1:] + [words[-1]], stdout=subprocess.DEVNULL)
            return image
        if word == "ENTRYPOINT":
            return image._replace(entrypoint=json.loads(rest), command=[])
        assert word == "CMD", word
        return image._replace(command=json.loads(rest))

    @staticmethod
    def _copy(source: Path, target: Path) -> None:
        if source.is_dir():
            skipped = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".mypy_cache", ".pytest_cache")
            shutil.copytree(str(source), str(target), symlinks=True, ignore=skipped)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(str(source), str(target))

    def run(self, line: str, mounts: Optional[Dict[str, str]] = None) -> oci.Container:
        """Does a `docker run` line; `mounts` says where on this host the sources of its volumes are."""
        words = shlex.split(line)
        assert words[:2] == ["docker", "run"], line
        del words[:2]
        spec: Dict[str, Any] = {"read_only": False, "environment": {}, "binds": {}}
        network = ""
        name = "unnamed-%d" % len(self._containers)
        capabilities = list(oci.DEFAULT_CAPABILITIES)
        while words[0].startswith("-"):
            option = words.pop(0)
            if option in ("--rm", "-d"):
                continue
            if option == "--read-only":
                spec["read_only"] = True
                continue
            value = words.pop(0)
            if option == "--name":
                name = value
            elif option == "--cap-add":
                capabilities.append("CAP_" + value)
            elif option == "--network":
                network = value
            elif option == "--pid":
                spec["pid"] = self._containers[value.partition(":")[2]].namespace("pid")
            elif option == "--user":
                spec["uid"] = int(value)
            elif option == "-e":
                key, _, text = value.partition("=")
                spec["environment"][key] = text
            else:
                assert option == "-v", option
                source, place, mode = value.split(":")
                assert mode == "ro"
                spec["binds"][(mounts or {})[source]] = place
        image = self._images[words.pop(0)]
        if network:
            spec["network"] = self._network(network, name)
            # On a bridge names are those of its containers.
            lines = ["127.0.0.1 localhost"] + ["%s %s" % (self._networks.address(joined), joined) for joined in self._joined]
            (image.root / "etc/hosts").write_text("".join(line + "\n" for line in lines))
        container = oci.Container(image.root, image.entrypoint + (words or image.command), capabilities=capabilities, **spec)
        self._containers[name] = container
        return container

    def _network(self, network: str, container: str) -> str:
        """On a bridge each container has an address of its own, on the host's network all have one."""
        key = network if network == "host" else container
        if key not in self._joined:
            self._joined[key] = self._networks.join(key)
        return self._joined[key]


def _enter(root: Path) -> None:
    """Be at the top of a root file system, and have no other one."""
    os.chroot(str(root))
    os.chdir("/")
