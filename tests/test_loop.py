"""The training loop: batches, callbacks, averages, and states that are put back."""

import numpy as np
import pytest
import torch

from harmonium.learning import (
    Average,
    Batches,
    Centring,
    ExactNegatives,
    GradientDescent,
    Learner,
    NaturalGradient,
    PersistentChains,
    StopTraining,
    accumulate_phases,
    train,
)
from learning_machines import DOUBLE, as_states, gradients, machine, patterns, phases_of
from registry import uniforms


# -------------------------------------------------------------------------------------------------- batches
def test_an_epoch_visits_every_row_once_in_an_order_of_its_own():
    x = torch.arange(20.0)[:, None]
    batches = Batches(x, 5, as_states, seed=2)
    epochs = [torch.cat([batches.batch(4 * e + i).v for i in range(4)]).flatten() for e in range(2)]
    for epoch in epochs:
        assert sorted(epoch.tolist()) == list(range(20))
    assert not torch.equal(*epochs)


def test_batches_are_pure_functions_of_the_update():
    x = torch.arange(23.0)[:, None]
    forth, back = Batches(x, 5, as_states), Batches(x, 5, as_states)
    ahead = [forth.batch(i).v for i in range(12)]
    behind = [back.batch(i).v for i in reversed(range(12))][::-1]
    assert all(torch.equal(a, b) for a, b in zip(ahead, behind, strict=True))


def test_batches_read_memory_maps(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(40, dtype=np.uint8).reshape(10, 4))
    on_disk = np.load(tmp_path / "x.npy", mmap_mode="r")
    in_memory = Batches(torch.from_numpy(np.array(on_disk)), 3, as_states)
    assert torch.equal(Batches(on_disk, 3, as_states).batch(5).v, in_memory.batch(5).v)


def test_weighted_rows_count_as_repeated_ones():
    rbm, v = machine(), patterns(4)
    repeated = torch.cat([v, v[1:2], v[3:4], v[3:4]])
    weights = torch.tensor([1.0, 2.0, 1.0, 3.0], dtype=DOUBLE)
    phases_of(rbm, repeated)
    wanted = gradients(rbm)
    batch = Batches(v, 4, as_states, weights).batch(0)
    rbm.zero_grad()
    accumulate_phases(rbm, batch, ExactNegatives().draw(rbm, batch, 0))
    for name, gradient in gradients(rbm).items():
        torch.testing.assert_close(gradient, wanted[name])


# ------------------------------------------------------------------------------------------------- the loop
def learner_for(rbm, v, lr=0.1):
    optimiser = torch.optim.SGD(rbm.parameters(), lr=lr)
    return Learner(rbm, Batches(v, 3, as_states), PersistentChains(5), optimiser, [Centring()])


def test_the_loop_calls_back_and_stops_when_asked():
    rbm, v = machine(), patterns()
    seen = []

    def stop_at_seven(update):
        seen.append(update.step)
        if update.step == 7:
            raise StopTraining

    assert train(learner_for(rbm, v), 50, [stop_at_seven]) == 7
    assert seen == [1, 2, 3, 4, 5, 6, 7]


def test_divergence_is_named():
    rbm, v = machine(), patterns()
    with pytest.raises(FloatingPointError, match=r"is no longer finite after 3 updates"):
        train(learner_for(rbm, v, lr=float("inf")), 3)


def test_any_torch_optimiser_will_do():
    for kind in (torch.optim.Adam, torch.optim.RMSprop, torch.optim.SGD):
        rbm, v = machine(), patterns()
        before = rbm.weight.detach().clone()
        learner = Learner(rbm, Batches(v, 3, as_states), PersistentChains(5), kind(rbm.parameters(), lr=0.01))
        train(learner, 3)
        assert float((rbm.weight - before).detach().abs().max()) > 0


def test_the_average_is_the_mean_of_the_first_updates():
    rbm, v = machine(), patterns()
    path = []
    average = Average(rbm, horizon=100)
    train(learner_for(rbm, v), 8, [average, lambda u: path.append(u.model.weight.detach().clone())])
    torch.testing.assert_close(average.model.weight, torch.stack(path).mean(0))


def test_states_of_all_parts_can_be_put_back():
    def parts(rbm):
        natural, average = NaturalGradient(), Average(rbm)
        chains = PersistentChains(5, seed=1)
        optimiser = torch.optim.SGD(rbm.parameters(), lr=0.1)
        return Learner(rbm, Batches(patterns(), 3, as_states), chains, optimiser, [natural]), average

    whole, average = parts(machine())
    train(whole, 9, [average])

    first, early = parts(machine())
    train(first, 4, [early])
    second, late = parts(machine(seed=5))
    second.model.load_state_dict(first.model.state_dict())
    second.negatives.load_state_dict(first.negatives.state_dict())
    second.transforms[0].load_state_dict(first.transforms[0].state_dict())
    late.load_state_dict(early.state_dict())
    train(second, 9, [late], first_step=4)
    assert torch.equal(second.model.weight, whole.model.weight)
    assert torch.equal(late.model.weight, average.model.weight)


def test_divergence_of_the_natural_gradient_is_named_too():
    rbm, v = machine(), patterns()
    phases = phases_of(rbm, v)
    with torch.no_grad():
        rbm.weight[0, 0] = float("nan")
    with pytest.raises(FloatingPointError, match="training diverged within 1 updates"):
        NaturalGradient()(rbm, phases)


def test_gradient_descent_makes_the_steps_of_torch():
    ours, theirs = (
        [torch.nn.Parameter(uniforms(7, 5, width) - 0.5) for width in (3, 1, 4)] for _ in range(2)
    )
    descent, sgd = GradientDescent(ours, lr=0.3), torch.optim.SGD(theirs, lr=0.3)
    for optimiser, parameters in ((descent, ours), (sgd, theirs)):
        for lr in (0.3, 0.02):
            optimiser.param_groups[0]["lr"] = lr
            optimiser.zero_grad()
            (parameters[0].exp().sum() * parameters[1].sum()).backward()  # the last one has no gradient
            optimiser.step()
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    descent.zero_grad(set_to_none=False)
    assert not ours[0].grad.any() and ours[2].grad is None
