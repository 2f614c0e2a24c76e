"""The list of models, page by page, and one of them."""

from conftest import MODEL, SMALL_MODEL


def test_the_list_pages_through_every_model_once(client):
    one_page = [model.id for model in client.models.list(limit=1000)]
    in_pairs = [model.id for model in client.models.list(limit=2)]
    assert {MODEL, SMALL_MODEL} <= set(one_page)
    assert len(set(one_page)) == len(one_page)
    assert in_pairs == one_page


def test_pages_also_turn_backwards(client):
    ids = [model.id for model in client.models.list(limit=1000)]
    before = client.models.list(limit=1, before_id=ids[2])
    assert [model.id for model in before.data] == [ids[1]]
    assert before.has_more


def test_a_model_of_the_list_can_be_retrieved(client):
    model = client.models.retrieve(MODEL)
    assert model.id == MODEL
    assert model.type == "model"
    assert model.display_name
    assert model.created_at.year >= 2025
