"""What an origin is, and which addresses are public."""

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blogworker.addresses import Origin, is_public, literal, translated, web_address


@given(st.ip_addresses(v=4))
def test_no_form_of_an_ipv4_address_is_public_in_ipv6(address):
    """Mapped, compatible, 6to4 and Teredo addresses could bypass a check; NAT64 means the IPv4 address inside."""
    number = int(address)
    forms = [0xFFFF << 32 | number, number, 0x2002 << 112 | number << 80, 0x20010000 << 96 | number << 64]

    assert not any(is_public(ipaddress.IPv6Address(form)) for form in forms)
    assert translated(ipaddress.IPv6Address(0x64_FF9B << 96 | number)) == address


@given(st.ip_addresses())
def test_private_addresses_of_python_are_never_public(address):
    assert not (is_public(address) and (address.is_private or address.is_multicast or address.is_unspecified))


@pytest.mark.parametrize("address", ["93.184.215.14", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111"])
def test_addresses_of_the_internet_are_public(address):
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f.1", "0177.0.0.1", "127.0.0.1.", "::1"])
def test_an_address_is_recognised_in_every_form_that_resolvers_accept(host):
    found = literal(host)
    assert found is not None
    assert found.is_loopback


@settings(max_examples=60, deadline=None)
@given(st.text())
def test_any_text_is_a_base_url_or_none(text):
    for url in (text, f"https://{text}", f"http://h{text}"):
        try:
            accepted = web_address(url)
        except ValueError:
            continue
        assert "@" not in Origin.of(accepted).host


def test_origins_differ_by_scheme_host_and_port():
    urls = ["https://h.example", "https://h.example:444", "http://h.example", "https://g.example", "https://h.example."]

    assert len({Origin.of(url) for url in urls}) == len(urls)
    assert Origin.of("https://H.example:443/a") == Origin.of("https://h.example/b")
    assert str(Origin.of("https://[::1]:444")) == "https://[::1]:444"
