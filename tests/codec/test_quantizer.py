"""The quantiser gives the encodec package's codes, values and steps; where not, the package's is shown to fail."""

import numpy as np
import pytest
import torch
from encodec.quantization.core_vq import ResidualVectorQuantization
from encodec.quantization.core_vq import kmeans as package_kmeans

from beyond_spectrograms.codec.quantizer import ResidualQuantizer, kmeans
from support.numeric import assert_same, by_default_float64

STAGES, ENTRIES, DIM = 3, 8, 4


def latents(seed: int = 0, frames: int = 40) -> torch.Tensor:
    return torch.randn(2, DIM, frames, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def pair(dead_below: int = 0) -> tuple[ResidualQuantizer, ResidualVectorQuantization]:
    """Make ours and the package's with the same codebooks, sums and counts, as after some training."""
    with by_default_float64():
        theirs = ResidualVectorQuantization(
            num_quantizers=STAGES, dim=DIM, codebook_size=ENTRIES, kmeans_init=False, threshold_ema_dead_code=dead_below
        )
        ours = ResidualQuantizer(STAGES, ENTRIES, DIM, dead_below=dead_below)
    generator = torch.Generator().manual_seed(1)
    for stage, layer in enumerate(theirs.layers):
        book, state = torch.randn(ENTRIES, DIM, generator=generator, dtype=torch.float64), layer._codebook
        counts = 3 + torch.rand(ENTRIES, generator=generator, dtype=torch.float64)
        for values, mine in (
            (book, ours.codebooks), (counts, ours.counts), (book * counts[:, None], ours.sums),
        ):  # fmt: skip
            mine[stage] = values
        state.embed.copy_(book)
        state.cluster_size.copy_(counts)
        state.embed_avg.copy_(book * counts[:, None])
    ours.started.fill_(True)
    return ours, theirs


@pytest.mark.numeric
@pytest.mark.parametrize("stages", [1, 2, STAGES])
def test_codes_and_latents_are_the_package_s(stages: int) -> None:
    ours, theirs = (module.eval() for module in pair())
    quantized, codes, _ = theirs(latents(), n_q=stages)
    made = ours(latents(), stages)
    assert torch.equal(made.codes, codes)
    assert torch.equal(made.codes, theirs.encode(latents(), n_q=stages))
    assert_same(made.latents, quantized)
    assert_same(made.latents, theirs.decode(codes))


@pytest.mark.numeric
def test_commitment_and_steps_of_the_codebooks_are_the_package_s() -> None:
    ours, theirs = (module.train() for module in pair())
    for step in range(5):
        with by_default_float64():
            quantized, codes, losses = theirs(latents(step))
        made = ours(latents(step))
        assert torch.equal(made.codes, codes)
        assert_same(made.latents, quantized)
        assert_same(made.commitment, losses[:, 0])
        for stage, layer in enumerate(theirs.layers):
            assert_same(ours.codebooks[stage], layer._codebook.embed)
            assert_same(ours.sums[stage], layer._codebook.embed_avg)
            assert_same(ours.counts[stage], layer._codebook.cluster_size)


@pytest.mark.numeric
def test_k_means_is_the_package_s_from_the_same_start() -> None:
    vectors = latents(frames=100).transpose(1, 2).reshape(-1, DIM)
    torch.manual_seed(3)
    start = vectors[torch.randperm(len(vectors))[:ENTRIES]]
    torch.manual_seed(3)
    centroids, counts = package_kmeans(vectors, ENTRIES, 50)
    ours, found = kmeans(vectors, start, 50)
    assert torch.equal(found, counts)
    assert_same(ours, centroids)


def test_the_start_gives_every_stage_means_of_what_those_before_it_left_and_keeps_them_in_the_first_step() -> None:
    with by_default_float64():
        quantizer = ResidualQuantizer(STAGES, ENTRIES, DIM, dead_below=0)
    quantizer.start(latents(), torch.Generator().manual_seed(0))
    errors = [
        float((latents() - quantizer.eval()(latents(), stages).latents).square().mean())
        for stages in range(1, STAGES + 1)
    ]
    assert errors == sorted(errors, reverse=True)
    before = quantizer.codebooks.clone()
    quantizer.train()(latents())
    assert float((quantizer.codebooks - before).abs().max()) < 1e-3


def test_the_package_shrinks_its_codebook_in_the_first_step_after_its_start() -> None:
    """This is why sums start as centroids times counts."""
    with by_default_float64():
        theirs = ResidualVectorQuantization(num_quantizers=1, dim=DIM, codebook_size=ENTRIES, kmeans_init=True)
    book = theirs.layers[0]._codebook
    theirs.eval()(latents())
    before, counts = book.embed.norm(dim=1), book.cluster_size.clone()
    theirs.train()(latents())
    decay = 0.99  # of the average, whose old part should have been the entry times its count
    shares = decay / counts + (1 - decay)
    np.testing.assert_allclose(book.embed.norm(dim=1) / before, shares, rtol=1e-3)  # counts are smoothed
    assert float(counts.median()) > 5  # 80 vectors, 8 entries


def test_a_dead_entry_becomes_a_vector_of_the_batch_and_is_dead_again_where_none_chooses_it() -> None:
    ours, theirs = (module.train() for module in pair(dead_below=2))
    book = theirs.layers[0]._codebook
    for entries in (ours.codebooks[0], ours.sums[0], book.embed, book.embed_avg):
        entries[5] = 1000.0  # so far off that nothing is near
    ours.counts[0, 5] = book.cluster_size[5] = 1.0
    ours(latents(), 1, torch.Generator().manual_seed(0))
    vectors = latents().transpose(1, 2).reshape(-1, DIM)
    nearest = (vectors - ours.codebooks[0, 5]).norm(dim=1).min()
    assert float(nearest) < 1e-3
    assert float(ours.counts[0, 5]) == pytest.approx(0.99 * 2)
    theirs(latents(), n_q=1)
    assert float(book.embed[5].norm()) > 1000  # replaced, and overwritten by its old average


def test_the_gradient_of_every_stage_s_commitment_reaches_the_latents() -> None:
    ours, theirs = (module.train() for module in pair())
    sound = latents().requires_grad_()
    ours(sound).commitment[1].backward()
    fresh, _ = pair()  # whose codebooks took no step
    residual = latents() - fresh.eval()(latents(), 2).latents
    assert sound.grad is not None
    assert_same(sound.grad, 2 * residual / residual.numel())
    sound = latents().requires_grad_()
    theirs(sound)[2][1].backward()
    assert sound.grad is not None
    assert float(sound.grad.abs().max()) == 0.0


def test_latents_get_the_gradient_of_what_they_were_quantised_to() -> None:
    ours, _ = pair()
    sound = latents().requires_grad_()
    (ours.train()(sound).latents * 3).sum().backward()
    assert sound.grad is not None
    assert np.array_equal(sound.grad.numpy(), np.full(sound.shape, 3.0))


def test_the_same_generator_draws_the_same_codebooks() -> None:
    made = []
    for _ in range(2):
        quantizer = ResidualQuantizer(2, 64, DIM).train()
        sound, generator = latents().float(), torch.Generator().manual_seed(4)
        quantizer.start(sound, generator)
        quantizer(sound, generator=generator)
        made.append(quantizer.codebooks)
    assert torch.equal(*made)
