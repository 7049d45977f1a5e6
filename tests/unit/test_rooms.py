"""The rooms (groups of modules) of the package depend only on rooms to their left, as the picture shows."""

import rooms


def test_every_module_lies_in_a_room():
    assert {rooms.room(module) for module in rooms.modules()} <= set(rooms.ROOMS)


def test_no_arrow_points_to_a_room_on_the_right():
    wrong = {
        pair: example
        for pair, example in rooms.arrows().items()
        if rooms.ROOMS.index(pair[0]) < rooms.ROOMS.index(pair[1])
    }
    assert wrong == {}


def test_no_modules_import_each_other_in_a_circle():
    assert rooms.circles() == []


def test_the_picture_of_the_rooms_is_true():
    text = rooms.PICTURE.read_text(encoding="utf-8")
    assert rooms.updated(text) == text, "run python tests/rooms.py"
