"""Ant patterns: the behaviour of Spring's AntPathMatcher, in our own words."""

import pytest

from salon.messaging.ant import AntPattern, compare, overlaps

MATCHES = [
    # literal
    ("test", "test"),
    ("/test", "/test"),
    ("https://example.org", "https://example.org"),
    ("", ""),
    ("/", "/"),
    # ? is one character
    ("t?st", "test"),
    ("??st", "test"),
    ("tes?", "test"),
    ("te??", "test"),
    ("?es?", "test"),
    ("/?", "/a"),
    ("/?/a", "/a/a"),
    ("/a/?", "/a/b"),
    ("/??/a", "/aa/a"),
    ("/a/??", "/a/bb"),
    # * is any number of characters of one segment
    ("*", "test"),
    ("test*", "test"),
    ("test*", "testTest"),
    ("test/*", "test/Test"),
    ("test/*", "test/t"),
    ("test/*", "test/"),
    ("*test*", "AnothertestTest"),
    ("*test", "Anothertest"),
    ("*.*", "test."),
    ("*.*", "test.test.test"),
    ("test*aaa", "testblaaaa"),
    ("/*", "/a"),
    ("/*/a", "/b/a"),
    ("/bla*bla/test", "/blaXXXbla/test"),
    ("/*bla/test", "/XXXbla/test"),
    ("/*bla*/*/bla/**", "/XXXblaXXXX/testing/bla/testing/testing/"),
    # ** is any number of segments, also none
    ("/**", "/testing/testing"),
    ("/**", "/"),
    ("/*/**", "/testing/testing"),
    ("/**/*", "/testing/testing"),
    ("/bla/**/bla", "/bla/testing/testing/bla"),
    ("/bla/**/bla", "/bla/bla"),
    ("/bla/**/**/bla", "/bla/bla"),
    ("/bla/**/**/**/bla", "/bla/a/b/bla"),
    ("/**/test", "/bla/bla/test"),
    ("/bla/**/**/bla", "/bla/bla/bla/bla/bla/bla"),
    ("/*bla*/**/bla/**", "/XXXblaXXXX/testing/testing/bla/testing/testing/"),
    ("/*bla*/**/bla/*", "/XXXblaXXXX/testing/testing/bla/testing"),
    ("/foo/bar/**", "/foo/bar"),
    ("/foo/bar/**", "/foo/bar/"),
    # variables
    ("/{bla}", "/foo"),
    ("/{bla}.*", "/testing.html"),
    ("/{bla}", "/x\ny"),
    ("/{var:.*}", "/x\ny"),
    ("/chat.{verb:[a-z]+}", "/chat.send"),
]

DIFFER = [
    ("/test.jpg", "test.jpg"),
    ("test", "/test"),
    ("/test", "test"),
    ("tes?", "tes"),
    ("tes?", "testt"),
    ("tes?", "tsst"),
    ("test*", "tst"),
    ("test*", "tsttest"),
    ("test*", "test/"),
    ("test*", "test/t"),
    ("test/*", "test"),
    ("*test*", "tsttst"),
    ("*test", "tsttst"),
    ("*/*", "tsttst"),
    ("*.*", "tsttst"),
    ("test*aaa", "test"),
    ("test*aaa", "testblaaab"),
    ("/????", "/bala/bla"),
    ("/**/*bla", "/bla/bla/bla/bbb"),
    ("/*bla*/**/bla/*", "/XXXblaXXXX/testing/testing/bla/testing/testing"),
    ("/x/x/**/bla", "/x/x/x/"),
    ("/x/x/**/bla", "/x/x/x"),
    ("/foo/bar/**", "/foo/barx"),
    ("", "test"),
    ("/foo", "/foo/"),
    ("/foo/", "/foo"),
    ("/{foo}", "/a/b"),
    ("/Foo", "/foo"),
    ("/chat.{verb:[a-z]+}", "/chat.send2"),
]


@pytest.mark.parametrize(("pattern", "path"), MATCHES)
def test_a_pattern_matches(pattern, path):
    assert AntPattern(pattern).match(path) is not None


@pytest.mark.parametrize(("pattern", "path"), DIFFER)
def test_a_pattern_does_not_match(pattern, path):
    assert AntPattern(pattern).match(path) is None


@pytest.mark.parametrize(
    ("pattern", "path", "variables"),
    [
        ("/hotels/{hotel}", "/hotels/1", {"hotel": "1"}),
        ("/h?tels/{hotel}", "/hotels/1", {"hotel": "1"}),
        ("/{page}.html", "/42.html", {"page": "42"}),
        ("/{page}.*", "/42.html", {"page": "42"}),
        ("/A-{B}-C", "/A-b-C", {"B": "b"}),
        ("/{name}.{extension}", "/test.html", {"name": "test", "extension": "html"}),
        ("/a/{b}/**/{c}", "/a/1/x/y/2", {"b": "1", "c": "2"}),
        ("/chat/{room}", "/chat/комната ü", {"room": "комната ü"}),
        (
            "/{symbolicName:[\\w\\.]+}-{version:[\\w\\.]+}.jar",
            "/com.example-1.0.0.jar",
            {"symbolicName": "com.example", "version": "1.0.0"},
        ),
        ("/{year:\\d{4}}", "/2026", {"year": "2026"}),
        ("/{path:a/b}", "/x", None),
    ],
)
def test_variables_get_what_they_match(pattern, path, variables):
    assert AntPattern(pattern).match(path) == variables


def test_another_separator_governs_segments():
    pattern = AntPattern("chat.*.{room}.**", ".")

    assert pattern.match("chat.eu.blue") == {"room": "blue"}
    assert pattern.match("chat.eu.blue.deep.er") == {"room": "blue"}
    assert pattern.match("chat.eu") is None
    assert pattern.match("chat.eu/x.blue") == {"room": "blue"}


@pytest.mark.parametrize(
    "text",
    ["/{a", "/a}", "/{a}/{a}", "/{}", "/{a b}", "/{a:[}", "/{a:}"],
)
def test_a_bad_pattern_is_found_when_it_is_made(text):
    with pytest.raises(ValueError):
        AntPattern(text)


# Spring's order: each pattern is more specific than those after it.
ORDERS = [
    ["/hotels/new", "/hotels/{hotel}", "/hotels/*", "/hotels/**", "/**"],
    ["/hotels/new.*", "/hotels/{hotel}.*", "/hotels/{hotel}", "/hotels/*", "/**"],
    ["/hotels/{hotel}/bookings/{b}", "/hotels/{hotel}/bookings/*", "/hotels/**", "/**"],
    ["/hotels/{hotel}", "/hotels/{hotel}/booking/{b}/cancel/{c}"],
    ["/hotels/foo/bar/**", "/hotels/**", "/**"],
    ["/chat/private", "/chat/{room}"],
    ["/chat/{a}/x", "/chat/**/x"],
    ["/{a}/{b}/{c}", "/hotels/**"],
]


@pytest.mark.parametrize("order", ORDERS)
def test_the_more_specific_pattern_comes_first(order):
    patterns = [AntPattern(text) for text in order]

    for i, one in enumerate(patterns):
        assert compare(one, one) == 0
        for other in patterns[i + 1 :]:
            assert compare(one, other) < 0, (one, other)
            assert compare(other, one) > 0, (other, one)


@pytest.mark.parametrize(
    ("one", "other", "may"),
    [
        ("/{a}", "/{b}", True),
        ("/{a}/b", "/a/{b}", True),
        ("/chat.{a}", "/room.{b}", False),
        ("/chat.{a}", "/{b}.send", True),
        ("/a/*", "/b/*", False),
        ("/a/**", "/a/b/{c}", True),
        ("/**/a", "/b/**", True),
        ("/**/a", "/b/c", False),
        ("/?", "/ab", False),
        ("/a?", "/?b", True),
        ("/a", "/a/b", False),
        ("/a/**", "/a", True),
        ("/*a", "/b*", True),
        ("/*a", "/*b", False),
    ],
)
def test_whether_a_path_may_match_two_patterns(one, other, may):
    assert overlaps(AntPattern(one), AntPattern(other)) is may
    assert overlaps(AntPattern(other), AntPattern(one)) is may


def test_many_double_stars_do_not_explode():
    pattern = AntPattern("/**/a/**/b/**/c")

    assert pattern.match("/a/b" * 60) is None
    assert pattern.match("/x" * 80 + "/a/b/c") is not None
