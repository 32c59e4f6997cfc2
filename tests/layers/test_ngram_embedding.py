import torch

from textdl.layers.ngram_embedding import BUCKETS, NgramEmbedding


def embedding(vocab_size, order):
    made = NgramEmbedding(vocab_size, 4, order)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for table in made.tables:
            table.normal_(generator=generator)
    return made


def test_pairs_by_hand():
    # V = 3: id i counts as i + 1, nothing as 0; the pair (a, b) has row (b + 1) + 4 (a + 1)
    made = embedding(3, 2)
    (table,) = made.tables
    assert len(table) == 16
    got = made(torch.tensor([[2, 0, 1]]), torch.tensor([[-1]]))
    torch.testing.assert_close(got[0], table[[3 + 4 * 0, 1 + 4 * 3, 2 + 4 * 1]])


def test_it_is_the_sum_over_the_orders():
    made = embedding(3, 3)
    pairs, triples = made.tables
    got = made(torch.tensor([[1]]), torch.tensor([[2, 0]]))
    torch.testing.assert_close(got[0, 0], pairs[2 + 4 * 1] + triples[2 + 4 * 1 + 16 * 3])


def test_what_came_before_may_be_given_or_read():
    made = embedding(30, 3)
    ids = torch.randint(30, (2, 9), generator=torch.Generator().manual_seed(2))
    whole = made(ids, torch.full((2, 2), -1))
    torch.testing.assert_close(made(ids[:, 4:], ids[:, 2:4]), whole[:, 4:])


def test_many_ngrams_share_rows():
    made = embedding(50_000, 3)
    assert [len(table) for table in made.tables] == [BUCKETS, BUCKETS]
    made(torch.tensor([[49_999]]), torch.tensor([[49_999, 49_999]]))


def test_long_ngrams_of_many_words():
    made = embedding(50_000, 8)  # 50 001 ^ 7 is no number of 64 bits
    read = [7, 49_999, 3, 20_000, 12, 49_998, 1, 30_000]
    expected = sum(
        table[sum((word + 1) * 50_001**back for back, word in enumerate(reversed(read[-n:]))) % BUCKETS]
        for n, table in enumerate(made.tables, start=2)
    )
    torch.testing.assert_close(made(torch.tensor([read[-1:]]), torch.tensor([read[:-1]]))[0, 0], expected)


def test_order_1_adds_nothing():
    made = NgramEmbedding(9, 4, 1)
    assert list(made.parameters()) == []
    assert made(torch.tensor([[3]]), torch.empty(1, 0, dtype=torch.int64)) == 0
