"""A run can always be gone on with: from its checkpoint, or from the state of an earlier call."""

import pytest
import torch

import harmonium as hm
from bars_in_rows import bars, machine, stopped_at
from harmonium.learning import NegativePhase, equally_weighted
from harmonium.recipes.rules import Rule
from harmonium.recipes.run.course import Action
from registry import uniforms


def test_continuous_models_resume_exactly(tmp_path):
    """The step size that Hamiltonian chains have adapted is part of their state."""

    class Wells(hm.EnergyModel):
        def __init__(self):
            super().__init__(bounds=[(-3.0, 3.0)] * 2)
            self.w = torch.nn.Parameter(torch.tensor([0.1, -0.2]))

        def energy(self, x):
            return (x**2 * self.w).sum(-1) + 0.1 * (x**4).sum(-1)

    x = (torch.special.ndtri(uniforms(3, 120, 2)) * 0.5).clamp(-2.5, 2.5).float()

    def fit(steps=60, **more):
        model = Wells()
        hm.fit(model, x, steps=steps, chains=32, **more)
        return model.w.detach()

    class Crash(Exception):
        pass

    path = tmp_path / "run.safetensors"
    whole = fit()
    with pytest.raises(Crash):
        fit(checkpoint=path, callbacks=[stopped_at(40, Crash)])
    assert torch.equal(fit(checkpoint=path, resume=True), whole)


def test_the_width_of_a_run_that_is_resumed_is_read_from_its_checkpoint(tmp_path, monkeypatch):
    x, _ = bars(300)
    path = tmp_path / "run.safetensors"

    def quickly(make, trial):
        return 5, {5: -1.0, 8: -1.2}

    monkeypatch.setattr("harmonium.recipes.model_choice.choose", quickly)
    first = hm.fit(x, minutes=0.02, checkpoint=path)
    monkeypatch.setattr("harmonium.recipes.model_choice.choose", None)  # no trials are made again
    again = hm.fit(x, minutes=0.02, checkpoint=path, resume=True)
    assert torch.equal(again.model.weight, first.model.weight)
    assert again.settings["hidden_tried"] == first.settings["hidden_tried"]
    assert again.settings["minutes"] == first.settings["minutes"]
    with pytest.raises(ValueError, match=r"minutes 0\.02 \(now 0\.1\)"):
        hm.fit(x, minutes=0.1, checkpoint=path, resume=True)
    hm.fit(machine(), x, steps=5, checkpoint=path)
    with pytest.raises(ValueError, match="whose model was given"):
        hm.fit(x, steps=5, checkpoint=path, resume=True)


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    x, _ = bars()
    path = tmp_path / "run.safetensors"
    hm.fit(machine(), x, steps=5, checkpoint=path)
    with pytest.raises(ValueError, match="is of another model"):
        hm.fit(machine(hidden=6 + 1), x, steps=5, checkpoint=path, resume=True, learning_rate=None)


def test_a_run_resumes_exactly_after_a_rule_has_acted(tmp_path):
    """What a rule does at a measurement is in the checkpoint of that measurement."""
    x = (uniforms(7, 800, 10, torch.float32) < 0.5).float()  # nothing to learn: the rate falls early

    def fit(**more):
        rbm = machine(10, 4)
        return rbm, hm.fit(rbm, x, steps=1000, **more)

    whole, history = fit()
    told, steps = str(history.notes), [r["step"] for r in history.records]
    acted = [step for step in steps if f"After {step} updates the validation rows" in told]
    assert acted

    class Crash(Exception):
        pass

    path = tmp_path / "run.safetensors"
    with pytest.raises(Crash):
        fit(checkpoint=path, callbacks=[stopped_at(acted[0] + 1, Crash)])
    resumed, told = fit(checkpoint=path, resume=True)
    assert torch.equal(resumed.weight, whole.weight) and told.notes == history.notes


def test_rows_that_come_piece_by_piece_are_learned():
    x, truth = bars(900)
    pieces = x.split(90)

    def learned(handed_on):
        rbm, state = machine(), None
        for k in range(20):
            history = hm.fit(rbm, pieces[k % len(pieces)], steps=1, seed=k, state=state)
            state = history.state if handed_on else None
        return hm.log_likelihood(rbm, x).value

    independent = machine()
    independent.visible.match(x)
    independent.weight.data.zero_()
    least = hm.log_likelihood(independent, x).value
    assert learned(True) > least + 1.0 and learned(False) > least + 1.0


def test_what_is_handed_on_is_where_the_chains_were():
    x, _ = bars()
    rbm = machine()
    first = hm.fit(rbm, x, steps=20, negatives="pcd")
    second = hm.fit(rbm, x, steps=1, negatives="pcd", state=first.state)
    assert int(second.state["learner/made"]) == 21
    step = {name: int(h.state["learner/negatives/step"]) for name, h in (("a", first), ("b", second))}
    assert step["b"] == step["a"] + 2  # two sweeps later
    with pytest.raises(ValueError, match="state is of a model of"):
        hm.fit(machine(hidden=7), x, steps=1, state=first.state)
    with pytest.raises(ValueError, match="state must be the history.state"):
        hm.fit(rbm, x, steps=1, state={})


def test_a_fresh_algorithm_is_one_class(tmp_path):
    """It is trained, checkpointed, rolled back and resumed like any other."""

    class Noise(NegativePhase):
        """Uniform particles that remember how often they were asked for."""

        def __init__(self):
            self.asked = self.restarts = 0

        def draw(self, model, data, step):
            self.asked += 1
            return equally_weighted((uniforms(self.asked, 50, 16, torch.float32) < 0.5).float())

        def restart(self, model, rows):
            self.restarts += 1

        def state_dict(self):
            return {"asked": torch.tensor(self.asked)}

        def load_state_dict(self, state):
            self.asked = int(state["asked"])

    class Back(Rule):
        def judge(self, run, now):
            return Action(run.roll_back, "back") if now.step == 25 else None

    x, path = bars()[0], tmp_path / "run.safetensors"

    def fit(source, **more):
        rbm = machine()
        hm.fit(rbm, x, steps=100, negatives=source, learning_rate=0.01, rules=[Back()], **more)
        return rbm.weight.detach()

    source = Noise()
    whole = fit(source)
    assert source.restarts == 1 and source.asked == 100

    class Crash(Exception):
        pass

    with pytest.raises(Crash):
        fit(Noise(), checkpoint=path, callbacks=[stopped_at(70, Crash)])
    assert torch.equal(fit(Noise(), checkpoint=path, resume=True), whole)
    with pytest.raises(TypeError, match=r"a learning\.NegativePhase"):
        hm.fit(machine(), x, steps=1, negatives=print)
