"""The processes that train together: PyTorch's own engines, started with `torchrun`.

One process is the same with nothing to join. Every process holds the whole model (DistributedDataParallel), or a share
of it (FSDP2's `fully_shard`) when the settings say so; gradients are means over the processes.
"""

import os
import sys
from contextlib import nullcontext
from dataclasses import dataclass

import torch
import torch.distributed as distributed
from torch.distributed.tensor import DTensor, distribute_tensor


@dataclass(frozen=True)
class World:
    """This process's place: its rank among `size` processes, and the device that it computes on."""

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the process that prints and writes."""
        return self.rank == 0


def join() -> World:
    """Joins the processes that torchrun started, on a GPU each (nccl) or on the CPU (gloo)."""
    gpu = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if gpu else torch.device("cpu")
    if gpu:
        torch.cuda.set_device(device)
    if "RANK" not in os.environ:
        return World(0, 1, device)
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if gpu else "gloo")
    world = World(distributed.get_rank(), distributed.get_world_size(), device)
    if not world.first:
        sys.stdout = open(os.devnull, "w")
    return world


def leave(world: World) -> None:
    """Ends what `join` began."""
    if world.size > 1:
        distributed.destroy_process_group()


def engine_for(losses: torch.nn.Module, world: World, shard: bool) -> torch.nn.Module:
    """The module that gives the losses, wrapped so that gradients are means over all processes."""
    if shard and distributed.is_initialized():
        return sharded(losses)
    if world.size == 1:
        return losses
    return torch.nn.parallel.DistributedDataParallel(losses)


def sharded(module: torch.nn.Module) -> torch.nn.Module:
    """The module with its parameters spread over the processes, in place; whole only while it computes."""
    from torch.distributed.fsdp import fully_shard

    return fully_shard(module)


def without_sync(engine: torch.nn.Module, last: bool):
    """A context in which gradients are only added up; they are exchanged with the last part of a step."""
    if hasattr(engine, "set_requires_gradient_sync"):  # FSDP2
        engine.set_requires_gradient_sync(last)
        return nullcontext()
    return engine.no_sync() if hasattr(engine, "no_sync") and not last else nullcontext()


def mean_over(values: torch.Tensor, world: World) -> torch.Tensor:
    """The mean of a tensor over the processes."""
    if world.size > 1:
        distributed.all_reduce(values)
    return values / world.size


def of_first(value: float, world: World) -> float:
    """The first process's value, so that all decide alike (clocks differ)."""
    if world.size == 1:
        return value
    shared = torch.tensor([value], dtype=torch.float64, device=world.device)
    distributed.broadcast(shared, 0)
    return float(shared)


def whole(value):
    """Tensors in nested dicts and lists with the shares of all processes put together, on the CPU.

    Every process must call it.
    """
    if isinstance(value, dict):
        return {name: whole(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [whole(one) for one in value]
    if isinstance(value, torch.Tensor):
        value = value.full_tensor() if isinstance(value, DTensor) else value
        return value.detach().cpu().clone()
    return value


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict) -> None:
    """Takes up an optimiser's kept state, each process its own share of it."""
    optimizer.load_state_dict(state)
    for parameter, kept in optimizer.state.items():
        for name, value in kept.items():
            if isinstance(parameter, DTensor) and not isinstance(value, DTensor) and value.shape == parameter.shape:
                kept[name] = distribute_tensor(value, parameter.device_mesh, parameter.placements)
