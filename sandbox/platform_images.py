"""Which images a stack's Pods will ask for: what its settings say, in the words of the image catalog."""

from collections.abc import Iterator
from dataclasses import replace

from infra.settings import Settings
from sandbox.images import catalog
from sandbox.images.catalog import Image


def images_of(settings: Settings) -> tuple[Image, ...]:
    """The images of a stack, each once."""
    return tuple({image.reference: image for image in _images(settings)}.values())


def _images(settings: Settings) -> Iterator[Image]:
    if mesh := settings.istio:
        tag = mesh.tag or mesh.version
        images = [(catalog.istio_pilot(tag), "pilot"), (catalog.istio_proxy(tag), "proxyv2")]
        if settings.cluster.facts.istio_cni and mesh.cni.install:
            images.append((catalog.istio_cni(tag), "install-cni"))
        for image, name in images:
            yield _named(image, mesh.hub and f"{mesh.hub}/{name}:{tag}")
    operator = settings.operator
    tag = operator.image_tag or f"v{operator.version}"
    repository = operator.image_repository
    yield _named(catalog.kuberay_operator(tag), repository and f"{repository}:{tag}")
    for workspace in settings.workspaces:
        for cluster in workspace.clusters:
            reference = cluster.image_reference(settings.ray_image)
            yield _named(catalog.ray(cluster.ray_version), reference)
    if kbatch := settings.kbatch:
        tag = kbatch.image_tag
        yield _named(catalog.kbatch_proxy(tag), f"{kbatch.image_repository}:{tag}")
        yield _named(catalog.busybox(), kbatch.jobs.code_image)
    if hub := settings.jupyterhub:
        yield from catalog.jupyterhub(hub.version)


def _named(image: Image, reference: str | None) -> Image:
    """The image under the name that the Pods ask for."""
    return replace(image, reference=full_name(reference)) if reference else image


def full_name(reference: str) -> str:
    """A reference with its registry, as containerd writes it: ``docker.io/`` goes without saying."""
    first, slash, _ = reference.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return reference
    return f"docker.io/{reference}" if slash else f"docker.io/library/{reference}"
