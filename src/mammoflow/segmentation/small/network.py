"""Prompts of the small network: the region around each, cut out, decoded and put back; differentiable."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mammoflow.segmentation.small.architecture import EMBEDDING_STRIDE, GRID, SIDE, SmallNetwork

CONTEXT = 1.4
"""Side of the region over the longer side of the box."""

SMALLEST_REGION = 20.0
"""Smallest side of a region in pixels of the network's input."""

POINT_REGION = 64.0
"""Side of the region around points without a box, in pixels of the network's input."""

POINT_SIGMA = 1.5
"""Width of a point on the grid, in cells."""

PROMPT_HEIGHT = 4.0
OUTSIDE = -10.0
"""Mask logit outside the region."""

SUPERSAMPLING = 2


@dataclass(frozen=True)
class SmallPrompts:
    """Prompts of N regions in pixels of the network's input.

    Attributes
    ----------
    boxes
        (N, 4) x0, y0, x1, y1; NaN where the prompt has no box.
    points
        (N, P, 2) x, y; P may be 0.
    labels
        (N, P): 1 inside the lesion, 0 outside, -1 no point.
    mask_logits
        (N, 1, rows, columns) on the frame of an earlier iteration, or None.
    """

    boxes: Tensor
    points: Tensor
    labels: Tensor
    mask_logits: Tensor | None = None

    @classmethod
    def of_boxes(cls, boxes: Tensor, mask_logits: Tensor | None = None) -> SmallPrompts:
        """Make prompts of boxes alone."""
        return cls(boxes, boxes.new_zeros(len(boxes), 0, 2), boxes.new_zeros(len(boxes), 0), mask_logits)


def place_regions(prompts: SmallPrompts) -> Tensor:
    """Return the square region (N, 4) x0, y0, x1, y1 that is decoded for each prompt; it may reach beyond the frame."""
    boxes = prompts.boxes
    side = ((boxes[:, 2:] - boxes[:, :2]).amax(dim=1) * CONTEXT).clamp(min=SMALLEST_REGION)
    centre = (boxes[:, 2:] + boxes[:, :2]) / 2
    if prompts.points.shape[1]:
        positive = (prompts.labels == 1)[..., None].to(boxes.dtype)
        count = positive.sum(dim=1)
        middle = (prompts.points * positive).sum(dim=1) / count.clamp(min=1)
        boxless = boxes.isnan().any(dim=1)
        centre = torch.where(boxless[:, None], middle, centre)
        side = torch.where(boxless, torch.full_like(side, POINT_REGION), side)
    half = side[:, None] / 2
    return torch.cat([centre - half, centre + half], dim=1)


def cut(values: Tensor, regions: Tensor, cells: int, stride: int = 1, supersampling: int = 1) -> Tensor:
    """Bring regions of maps to a grid by bilinear interpolation; 0 outside the maps.

    Parameters
    ----------
    values
        (N, C, rows, columns) maps whose cells are `stride` pixels wide, one for each region.
    regions
        (N, 4) x0, y0, x1, y1 in pixels.
    cells
        Cells of the grid along each side.
    stride
        Pixels a cell of the maps.
    supersampling
        Samples a cell along each side, averaged, so that large regions do not alias.

    Returns
    -------
    Tensor
        (N, C, cells, cells).
    """
    rows, columns = values.shape[-2:]
    count = cells * supersampling
    steps = (torch.arange(count, device=values.device, dtype=regions.dtype) + 0.5) / count
    x = regions[:, None, 0] + steps * (regions[:, None, 2] - regions[:, None, 0])
    y = regions[:, None, 1] + steps * (regions[:, None, 3] - regions[:, None, 1])
    # grid_sample counts from -1 to 1 between the outer edges of the map
    x, y = x * (2 / (columns * stride)) - 1, y * (2 / (rows * stride)) - 1
    places = torch.stack([x[:, None, :].expand(-1, count, -1), y[:, :, None].expand(-1, -1, count)], dim=-1)
    sampled = functional.grid_sample(values.float(), places.float(), mode="bilinear", align_corners=False)
    return functional.avg_pool2d(sampled, supersampling) if supersampling > 1 else sampled


def put_back(logits: Tensor, regions: Tensor, side: int = SIDE) -> Tensor:
    """Bring logits (N, M, cells, cells) of regions back to the frame (N, M, side, side); `OUTSIDE` elsewhere."""
    steps = torch.arange(side, device=logits.device, dtype=regions.dtype) + 0.5
    width = regions[:, 2:] - regions[:, :2]
    x = (steps[None] - regions[:, :1]) / width[:, :1] * 2 - 1
    y = (steps[None] - regions[:, 1:2]) / width[:, 1:2] * 2 - 1
    places = torch.stack([x[:, None, :].expand(-1, side, -1), y[:, :, None].expand(-1, -1, side)], dim=-1)
    shifted = functional.grid_sample(logits.float() - OUTSIDE, places.float(), mode="bilinear", align_corners=False)
    return shifted + OUTSIDE


def prompt_maps(prompts: SmallPrompts, regions: Tensor) -> Tensor:
    """Draw prompts on the grid of their regions (N, PROMPT_CHANNELS, GRID, GRID)."""
    count = len(regions)
    steps = (torch.arange(GRID, device=regions.device, dtype=regions.dtype) + 0.5) / GRID
    width = regions[:, 2:] - regions[:, :2]
    x = regions[:, :1] + steps[None] * width[:, :1]
    y = regions[:, 1:2] + steps[None] * width[:, 1:2]
    boxes = prompts.boxes
    boxless = boxes.isnan().any(dim=1)
    size = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1.0)
    across = (2 * x - boxes[:, :1] - boxes[:, 2:3]) / size[:, :1]
    down = (2 * y - boxes[:, 1:2] - boxes[:, 3:]) / size[:, 1:]
    radius = (across[:, None, :].square() + down[:, :, None].square()).sqrt()
    ellipse = (PROMPT_HEIGHT * (1 - radius)).clamp(min=-PROMPT_HEIGHT)
    inside = ((across.abs()[:, None, :] < 1) & (down.abs()[:, :, None] < 1)).to(regions.dtype)
    shape = torch.log(size / 16.0)[:, :, None, None].expand(-1, -1, GRID, GRID)
    box_maps = torch.cat([ellipse[:, None], inside[:, None], shape], dim=1)
    box_maps = torch.where(boxless[:, None, None, None], torch.zeros_like(box_maps), box_maps)
    earlier = regions.new_zeros(count, 1, GRID, GRID)
    if prompts.mask_logits is not None:
        earlier = cut(prompts.mask_logits.clamp(-PROMPT_HEIGHT, PROMPT_HEIGHT), regions, GRID)
    positive, negative = (_point_map(prompts, regions, label) for label in (1, 0))
    return torch.cat([box_maps[:, :2], earlier, positive, negative, box_maps[:, 2:]], dim=1)


def _point_map(prompts: SmallPrompts, regions: Tensor, label: int) -> Tensor:
    """Draw the points of one label as Gaussians (N, 1, GRID, GRID), the strongest where several meet."""
    if not prompts.points.shape[1]:
        return regions.new_zeros(len(regions), 1, GRID, GRID)
    cells = torch.arange(GRID, device=regions.device, dtype=regions.dtype) + 0.5
    place = (prompts.points - regions[:, None, :2]) / (regions[:, None, 2:] - regions[:, None, :2]) * GRID
    x = torch.exp(-(cells - place[..., :1]).square() / (2 * POINT_SIGMA**2))
    y = torch.exp(-(cells - place[..., 1:]).square() / (2 * POINT_SIGMA**2))
    wanted = (prompts.labels == label)[..., None, None].to(regions.dtype)
    return (y[..., :, None] * x[..., None, :] * wanted).amax(dim=1, keepdim=True)


def decode_regions(
    network: SmallNetwork, image: Tensor, channels: Tensor, prompts: SmallPrompts, regions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Decode prompts on the grids of their regions.

    Parameters
    ----------
    network
        The network.
    image
        (N, EMBEDDING_CHANNELS, rows, columns) embeddings, one for each prompt.
    channels
        (N, INPUT_CHANNELS, 4 rows, 4 columns) network inputs, one for each prompt.
    prompts
        N prompts.
    regions
        (N, 4) as `place_regions` gives them.

    Returns
    -------
    logits, predicted_iou, tokens
        As `Decoder` gives them.
    """
    region = torch.cat([cut(channels, regions, GRID, 1, SUPERSAMPLING), prompt_maps(prompts, regions)], dim=1)
    region = region.contiguous(memory_format=torch.channels_last)
    embedding = cut(image, regions, GRID // EMBEDDING_STRIDE, EMBEDDING_STRIDE, SUPERSAMPLING)
    decoded: tuple[Tensor, Tensor, Tensor] = network.mask_decoder(region, embedding)
    return decoded
