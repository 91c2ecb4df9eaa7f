from dataset_builder.text_template import PLAIN, fields_of, filled


def test_a_template_says_who_speaks() -> None:
    template = "{character}: {text}"
    assert filled(template, ["It rains.", "Again?"], ["Ada", ""]) == ["Ada: It rains.", "Again?"]
    assert filled(template, ["It rains."], None) == ["It rains."]
    assert filled(PLAIN, ["It rains."], ["Ada"]) == ["It rains."]
    assert filled(template, ["{braces} stay"], ["{text}"]) == ["{text}: {braces} stay"]
    assert fields_of(template) == {"character", "text"}
