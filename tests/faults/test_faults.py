"""Whatever breaks: one clear message, and the same command again brings what an undisturbed one brings."""

from __future__ import annotations

import contextlib
import random
import time

from tests.faults.breaks import Stage
from tests.faults.conftest import Undisturbed
from tests.faults.proxy import Moment
from tests.faults.rows import Fault
from tests.faults.snapshot import differences
from tests.faults.world import PATIENCE, Phase, World, say


def test_undisturbed_commands_come_to_the_same(
    world: World, undisturbed: Undisturbed, everything: bool
) -> None:
    """Else a difference after a fault would say nothing."""
    say(f"undisturbed first up: {world.lengths[Phase.FIRST]} requests")
    for phase in (Phase.SAME, Phase.CHANGE, Phase.ROTATE, Phase.PREVIEW) if everything else (Phase.ROTATE,):
        began = time.monotonic()
        token = world.named_token()
        world.choose(phase)
        code, said = world.run(phase)
        assert code == 0, said
        nothing(world.settled(undisturbed.cluster))
        nothing(differences(undisturbed.state, world.stored()))
        assert (world.named_token() != token) == (phase is Phase.ROTATE)
        say(f"undisturbed {phase.value}: {time.monotonic() - began:.0f} s, {world.lengths[phase]} requests")
    assert len(undisturbed.cluster) > 25
    assert not undisturbed.none


def test_fault(
    world: World, undisturbed: Undisturbed, fault: Fault, chance: random.Random, seed: int
) -> None:
    began = time.monotonic()
    moment = fault.when(chance)
    say(f"\n{fault.name} ({'' if fault.moment else f'{moment}; '}RAYFORT_TEST_SEED={seed})")
    try:
        world.prepare(fault.phase)
        _fault(world, undisturbed, fault, moment)
    except BaseException as error:
        say(f"  FAILED: {error}")
        world.reset()
        raise
    say(f"  {time.monotonic() - began:.0f} s")


def _fault(world: World, undisturbed: Undisturbed, fault: Fault, moment: Moment) -> None:
    stage = Stage(world, fault.phase)
    token = world.named_token() if world.up else None
    before = (world.cluster(), world.stored()) if fault.phase is Phase.PREVIEW else None
    world.choose(fault.phase)
    with contextlib.ExitStack() as disk:
        if fault.what.disk:
            stage.disk = disk.enter_context(world.on_small_disk())
        plan = fault.what.plan(stage, moment)
        stage.command = world.start(fault.phase, plan, fault.what.file_limit)
        code = stage.command.wait(PATIENCE)
        said = stage.command.output
        left = stage.command.leftovers()
        plan.finish()
        world.mend()
        if stage.disk:
            stage.freed.set()
            world.free(stage.disk)
        say(f"  {plan.request or 'nothing'}: exit code {code}")

        assert plan.failed == [], plan.failed
        assert plan.request or fault.what.file_limit, f"never seen: {moment}; said:\n{said}"
        assert left == [], f"left behind: {left}"
        check_words(fault, code, said)
        for other in stage.said:
            assert other.startswith("exit code 1:"), other
            assert "Another rayfort command is working on" in other, other

        again, said = world.run(fault.phase)
        assert again == 0, f"the second run failed:\n{said}"
        world.up = fault.phase is not Phase.DOWN
        exported = world.stored()

    if fault.phase is Phase.DOWN:
        nothing(world.settled(undisturbed.none))
        assert exported == {}
        return
    if before:
        nothing(differences(before[0], world.cluster()))
        nothing(differences(before[1], exported))
        return
    nothing(world.settled(undisturbed.cluster))
    nothing(differences(undisturbed.state, exported))
    tokens, named = world.token(), world.named_token()
    assert len(set(tokens)) == 1, "the token in the cluster is not that of the outputs"
    assert named == tokens[0], "the Ray cluster has another token"
    if token:
        assert (named != token) == (fault.phase is Phase.ROTATE), "the token was not kept"
    assert world.sizes() == {str(world.size)}


def nothing(differs: list[str]) -> None:
    """Fail with all that differs."""
    assert not differs, "\n".join(differs)


def check_words(fault: Fault, code: int, said: str) -> None:
    """One message that names what happened, and no traceback."""
    assert "Traceback" not in said, said
    assert "Warning:" not in said, said
    if fault.silent:
        assert code < 0, f"exit code {code}: {said}"
        return
    if fault.either and code == 0:
        return
    if not fault.says and not fault.either:
        assert code == 0, f"it should have survived:\n{said}"
        return
    assert code in (1, 130) or (fault.either and code < 0), (
        f"exit code {code}; it should have failed:\n{said}"
    )
    for part in fault.says:
        assert part.lower() in said.lower(), f"nothing of {part!r} in:\n{said}"
    if code == 1:
        # A preview shows Pulumi's own words before the message.
        message = said.rpartition("\nrayfort: ")[2].splitlines()
        reasons = [line.partition(": ")[2] or line for line in message if line]
        twice = {each for each in reasons if reasons.count(each) > 1}
        assert not twice, f"said more than once: {twice}"
    if code > 0:
        assert (
            sum(line.startswith("rayfort: ") and "stopping" not in line for line in said.splitlines()) == 1
        ), said
