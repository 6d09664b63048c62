"""Every harness, that of the tests too, has exactly what the protocol names, with the same arguments."""

import inspect

import fake_harness

from backends.common.harness import Harness, protocol_names


def public_names(module):
    return {name for name in getattr(module, "__all__", vars(module)) if not name.startswith("_")}


def arguments_of(function):
    return [
        (parameter.name, parameter.kind, parameter.default)
        for parameter in inspect.signature(function).parameters.values()
        if parameter.name != "self"
    ]


def assert_is_a_harness(module):
    for name in protocol_names() - {"NAME"}:
        assert arguments_of(getattr(module, name)) == arguments_of(getattr(Harness, name)), name
    assert isinstance(module.NAME, str)


def test_the_backends_harness_is_the_protocols(backend):
    assert public_names(backend) == protocol_names() | {"device", "losses", "networks"} & public_names(backend)
    assert_is_a_harness(backend)


def test_the_fake_harness_of_the_suites_tests_is_the_protocols(backend):
    assert_is_a_harness(fake_harness)
