"""What a pool is made of, by model and machine. The figures of the rule are measured: see the module."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_desktop.engines.plan import Wishes
from whisper_desktop.engines.pool import Form, PoolPlan, pool_plan, roles_named
from whisper_desktop.engines.pool.speed import ISOLATION_IS_WORTH, relative_speed
from whisper_desktop.engines.spec import EngineSpec
from whisper_desktop.models.gguf import GgufHeader, Scalar, Tensor
from whisper_desktop.values import GIB, GpuInfo, ResourceInfo

BASE = EngineSpec(Path("model.gguf"), "model", 4096, binary=Path("llama-server"), port=8081)
ROLES = roles_named()


def header(gigabytes: float, kind: str = "Q4_K", *, layers: int = 16, trained: int = 32_768) -> GgufHeader:
    """A llama of that size, with 32 KiB of cache a token; its weights are all of one type."""
    each = int(gigabytes * 1e9 / layers)
    tensors = tuple(Tensor(f"blk.{n}.ffn_down.weight", kind, (2048, 2048), each) for n in range(layers))
    metadata: dict[str, Scalar | tuple[Scalar, ...]] = {
        "general.architecture": "llama",
        "llama.block_count": layers,
        "llama.embedding_length": 2048,
        "llama.feed_forward_length": 8192,
        "llama.attention.head_count": 32,
        "llama.attention.head_count_kv": 8,
        "llama.context_length": trained,
    }
    return GgufHeader(metadata, each * layers, tensors)


def machine(cores: int = 2, free: float = 16, *gpus: GpuInfo) -> ResourceInfo:
    """A computer with 32 GiB, so many of them free."""
    return ResourceInfo(
        "Linux", "", "x86_64", "", cores, cores, 32 * GIB, int(free * GIB), cpu_features=("avx2",), gpus=gpus
    )


def planned(model: GgufHeader | None, resources: ResourceInfo, n_ctx: int = 4096) -> PoolPlan:
    return pool_plan(ROLES, BASE, model, resources, wishes=Wishes(n_ctx=n_ctx))


# What was measured with both real engines on two cores; see the table in the module, and the benchmark.
@pytest.mark.parametrize(
    ("kind", "shared", "measured"),
    [
        ("Q4_K", False, 176 / 148),
        ("Q4_K", True, 125 / 148),
        ("Q8_0", True, 121 / 93),
        ("F16", True, 63 / 120),
    ],
)
def test_the_rule_agrees_with_what_was_measured_on_two_cores(
    kind: str, shared: bool, measured: float
) -> None:
    assert relative_speed(header(0.3, kind), 2, shared=shared) == pytest.approx(measured, rel=0.1)


def test_processes_share_their_weights_and_their_cores() -> None:
    plan = planned(header(2.0), machine(cores=2, free=8))
    assert plan.form is Form.PROCESSES
    assert [(spec.load_mode, spec.repack, spec.parallel, spec.threads) for spec in plan.specs] == [
        ("mmap", False, 1, 1)
    ] * 5
    assert [(each.role.name, each.instance, each.slot) for each in plan.roles] == [
        (role.name, number, 0) for number, role in enumerate(ROLES)
    ]
    assert len({spec.id for spec in plan.specs}) == 5  # each has a log of its own
    assert {spec.port for spec in plan.specs} == {None}
    assert plan.need_bytes is not None
    assert plan.need_bytes < 2 * 2.0e9 + 5 * 0.8e9


def test_with_plenty_of_memory_each_process_has_repacked_weights_of_its_own() -> None:
    plan = planned(header(0.5), machine(cores=2, free=30))
    assert plan.form is Form.PROCESSES
    assert {(spec.load_mode, spec.repack) for spec in plan.specs} == {("none", True)}
    assert planned(header(0.5, "Q8_0"), machine(cores=2, free=30)).specs[0].load_mode == "mmap"  # no gain


def test_one_server_with_a_slot_for_each_where_processes_do_not_fit() -> None:
    plan = planned(header(3.0), machine(cores=2, free=5.5))
    assert (plan.form, len(plan.specs), plan.specs[0].parallel, plan.specs[0].threads) == (
        Form.SLOTS,
        1,
        5,
        1,
    )
    assert [each.slot for each in plan.roles] == [0, 1, 2, 3, 4]
    assert "5 processes need" in " ".join(plan.reasons)
    assert not plan.warning


@pytest.mark.parametrize(
    ("model", "resources"),
    [
        (header(1.0, "F16"), machine(cores=2)),  # 16-bit weights: memory is what they wait for
        (header(1.0, "BF16"), machine(cores=1)),
        (header(1.0, "Q4_K"), machine(cores=8)),  # more cores than the memory can feed
        (header(1.0, "Q8_0"), machine(cores=4)),
    ],
)
def test_one_server_where_processes_would_wait_for_the_memory(
    model: GgufHeader, resources: ResourceInfo
) -> None:
    plan = planned(model, resources)
    assert plan.form is Form.SLOTS
    assert "times as fast as one server" in " ".join(plan.reasons)


def test_a_model_that_stays_in_the_processors_cache_gets_processes_on_any_number_of_cores() -> None:
    for kind in ("Q4_K", "Q8_0", "F16", "F32"):
        assert planned(header(0.02, kind), machine(cores=16)).form is Form.PROCESSES


def test_a_model_on_a_graphics_card_gets_one_server_and_one_load_at_a_time() -> None:
    card = GpuInfo("NVIDIA", "RTX", 24 * GIB, 23 * GIB)
    plan = planned(header(2.0), machine(2, 24, card))
    assert (plan.form, plan.loads_at_once) == (Form.SLOTS, 1)
    assert "graphics card" in plan.reasons[1]
    assert planned(header(2.0), machine(2, 24)).loads_at_once > 1


def test_further_computers_hold_one_copy() -> None:
    base = replace(BASE, rpc=("10.0.0.2:50052",))
    assert pool_plan(ROLES, base, header(0.5), machine()).form is Form.SLOTS


def test_roles_take_turns_where_not_all_contexts_fit() -> None:
    plan = planned(header(3.0), machine(cores=2, free=5), n_ctx=16_384)
    assert (plan.form, plan.warning) == (Form.SLOTS, "")
    assert 1 <= plan.places < 5
    assert plan.specs[0].parallel == plan.places
    assert {each.slot for each in plan.roles} == set(range(plan.places))
    assert "take turns" in " ".join(plan.reasons)


def test_what_does_not_fit_at_all_is_said_in_numbers() -> None:
    plan = planned(header(12.0), machine(cores=2, free=4))
    assert plan.places == 1
    assert plan.warning.startswith("The pool needs 1")


def test_the_context_left_to_us_is_the_longest_that_fits_for_all() -> None:
    much = pool_plan(ROLES, BASE, header(1.0), machine(free=24))
    little = pool_plan(ROLES, BASE, header(1.0), machine(free=6))
    short = pool_plan(ROLES, BASE, header(1.0, trained=2048), machine(free=24))
    assert much.specs[0].n_ctx == 32_768
    assert 4096 <= little.specs[0].n_ctx < 32_768
    assert short.specs[0].n_ctx == 2048


def test_a_model_that_does_not_tell_its_needs_gets_the_form_that_needs_the_least() -> None:
    plan = pool_plan(ROLES, BASE, None, machine())
    assert (plan.form, plan.places, plan.need_bytes) == (Form.SLOTS, 5, None)
    assert "not known" in plan.reasons[-1]


def test_memory_of_what_is_not_unloaded_is_never_used_a_second_time() -> None:
    resident = 4 * 10**9  # another pool, or an engine, with a model of its own
    resources = machine(cores=2, free=7)
    beside = planned(header(4.0), resources)
    instead = pool_plan(ROLES, BASE, header(4.0), resources, wishes=Wishes(n_ctx=4096), freed_bytes=resident)
    assert beside.need_bytes is not None
    assert beside.need_bytes <= resources.ram_available_bytes
    assert (beside.form, instead.form) == (Form.SLOTS, Form.PROCESSES)
    assert instead.room_bytes > beside.room_bytes


def test_one_role_needs_no_pool_of_processes() -> None:
    plan = pool_plan(ROLES[:1], BASE, header(1.0), machine())
    assert (len(plan.specs), plan.places) == (1, 1)
    with pytest.raises(ValueError, match="needs a role"):
        pool_plan((), BASE, header(1.0), machine())


@pytest.mark.parametrize("form", list(Form))
def test_a_form_that_is_asked_for_is_obeyed(form: Form) -> None:
    for model in (header(1.0), header(1.0, "F16")):
        assert pool_plan(ROLES, BASE, model, machine(cores=8), form=form).form is form


@given(
    gigabytes=st.floats(0.01, 40),
    kind=st.sampled_from(["Q4_K", "Q8_0", "F16", "IQ2_S"]),
    cores=st.integers(1, 64),
    free=st.floats(0.1, 32),
    roles=st.integers(1, 9),
    n_ctx=st.sampled_from(["auto", 512, 4096, 32_768]),
)
def test_every_plan_holds_what_it_promises(
    gigabytes: float, kind: str, cores: int, free: float, roles: int, n_ctx: int
) -> None:
    model, resources = header(gigabytes, kind), machine(cores, free)
    names = roles_named(f"role{number}" for number in range(roles))
    plan = pool_plan(names, BASE, model, resources, wishes=Wishes(n_ctx=n_ctx))
    assert plan.need_bytes is not None
    assert (plan.need_bytes <= plan.room_bytes) is (plan.warning == "")
    assert plan.room_bytes <= resources.ram_available_bytes
    assert [each.role for each in plan.roles] == list(names)
    copies = sum(spec.load_mode == "none" for spec in plan.specs) or 1
    assert plan.need_bytes >= copies * model.file_bytes
    assert sum(spec.threads for spec in plan.specs) <= max(cores, len(plan.specs))
    for each in plan.roles:
        assert 0 <= each.slot < plan.specs[each.instance].parallel
    if plan.form is Form.PROCESSES:
        assert len(plan.specs) == plan.places == roles
        assert relative_speed(model, cores, shared=copies == 1) >= ISOLATION_IS_WORTH
    else:
        assert len(plan.specs) == 1
        assert plan.specs[0].parallel == plan.places
    more = pool_plan(names, BASE, model, machine(cores, free + 2), wishes=Wishes(n_ctx=n_ctx))
    assert more.places >= plan.places
