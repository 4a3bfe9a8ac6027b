"""Where deliveries may go: addresses that are public or named, and hosts that are named."""

import http.client
import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tasklib import outbound
from tasklib.outbound import Rules

from tests.functions.receiver import Receiver

from .attempts import attempt, delivered, failed, refused
from .conftest import Resolver


class TestAForbiddenAddress:
    """It is listened on: what connects to it is seen."""

    @pytest.mark.parametrize(
        "host",
        [
            *(
                "127.0.0.2",
                "2130706434",
                "0x7f000002",
                "0x7f.2",
                "0177.0.0.2",
                "127.2",
                "127.0.2",
                "[::ffff:127.0.0.2]",
            ),
            *(
                "[::ffff:7f00:2]",
                "\uff11\uff12\uff17.\uff10.\uff10.\uff12",
                "127\u30020\u30020\u30022",
                "127.0.0.2.",
            ),
        ],
    )
    def test_is_never_connected_to_however_it_is_written(self, receiver: Receiver, host: str) -> None:
        with Receiver(host="127.0.0.2", port=receiver.port) as secret:
            ended = attempt(f"http://{host}:{receiver.port}/")
        assert secret.connections == []
        assert receiver.connections == []
        assert ended["permanent"] or ended["error"].endswith("cannot be resolved")

    @pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "[::ffff:127.0.0.1]"])
    def test_is_not_what_an_allowed_one_is_in_an_odd_notation(self, receiver: Receiver, host: str) -> None:
        delivered(f"http://{host}:{receiver.port}/")
        assert receiver.connections in (["127.0.0.1"], ["::ffff:127.0.0.1"])

    @pytest.mark.parametrize("networks", ['["public"]', "[]", '["::1/128"]', '["127.0.0.2/31"]'])
    def test_is_any_but_those_of_the_configuration(
        self, receiver: Receiver, networks: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("WEBHOOK_ALLOWED_NETWORKS", networks)
        assert refused(receiver.url) == f"127.0.0.1:{receiver.port} has no address in webhookAllowedNetworks"
        assert receiver.connections == []

    def test_is_any_but_public_ones_by_default(
        self, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("WEBHOOK_ALLOWED_NETWORKS")
        refused(receiver.url)
        assert receiver.connections == []

    @pytest.mark.parametrize(
        "address", ["10.0.0.1", "10.255.255.254", "169.254.169.254", "fd00:ec2::254", "::1", "0.0.0.0"]
    )
    def test_of_a_name_is_never_connected_to(
        self, resolver: Resolver, address: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        called: list[Any] = []

        def connect(_: socket.socket, address: Any) -> None:
            called.append(address)

        monkeypatch.setattr(socket.socket, "connect", connect)
        resolver([address])
        assert (
            refused("http://innocent.example") == "innocent.example has no address in webhookAllowedNetworks"
        )
        assert called == []

    def test_is_not_reached_by_a_name_that_changes(self, receiver: Receiver, resolver: Resolver) -> None:
        with Receiver(host="127.0.0.2", port=receiver.port) as secret:
            asked = resolver(["127.0.0.1"], ["127.0.0.2"])
            delivered(f"http://changing.example:{receiver.port}")
            assert asked == ["changing.example"]
            assert receiver.received[0].headers["host"] == f"changing.example:{receiver.port}"
            refused(f"http://changing.example:{receiver.port}")
        assert secret.connections == []

    @pytest.mark.parametrize(
        "answers", [["127.0.0.2", "127.0.0.1"], ["127.0.0.1", "127.0.0.2"], ["::1", "10.0.0.1", "127.0.0.1"]]
    )
    def test_among_others_is_passed_over(
        self, receiver: Receiver, resolver: Resolver, answers: list[str]
    ) -> None:
        with Receiver(host="127.0.0.2", port=receiver.port) as secret:
            resolver(answers)
            delivered(f"http://mixed.example:{receiver.port}")
        assert secret.connections == []
        assert receiver.connections == ["127.0.0.1"]

    def test_is_not_tried_when_the_allowed_ones_do_not_answer(self, resolver: Resolver) -> None:
        with Receiver(host="127.0.0.2") as secret:
            resolver(["127.0.0.1", "127.0.0.2"])
            assert "Connection refused" in failed(f"http://mixed.example:{secret.port}")
        assert secret.connections == []

    def test_is_not_reached_by_a_connection_that_was_lost(self, receiver: Receiver) -> None:
        target = outbound._Target.of(receiver.url)  # pyright: ignore[reportPrivateUsage]
        connection = outbound._Connection(target, socket.socket())  # pyright: ignore[reportPrivateUsage]
        connection.close()
        with pytest.raises(http.client.NotConnected):
            connection.request("POST", "/")
        assert receiver.connections == []

    def test_is_not_why_the_next_allowed_one_is_not_tried(
        self, resolver: Resolver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("WEBHOOK_ALLOWED_NETWORKS", '["127.0.0.0/8"]')
        with Receiver(host="127.0.0.3") as third:
            resolver(["127.0.0.1", "127.0.0.3"])
            delivered(f"http://many.example:{third.port}")
        assert len(third.connections) == 1


class TestPublicAddresses:
    @pytest.mark.parametrize(
        "address",
        [
            *(
                "0.0.0.0",
                "0.1.2.3",
                "10.0.0.1",
                "100.64.0.1",
                "100.127.255.255",
                "127.0.0.1",
                "127.255.255.255",
            ),
            *("169.254.169.254", "169.254.100.5", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1"),
            *(
                "192.88.99.1",
                "192.168.1.1",
                "198.18.0.1",
                "198.51.100.1",
                "203.0.113.1",
                "224.0.0.1",
                "239.1.1.1",
            ),
            *(
                "240.0.0.1",
                "255.255.255.255",
                "::",
                "::1",
                "fe80::1",
                "fe80::1%1",
                "fc00::1",
                "fd00:ec2::254",
            ),
            *("fec0::1", "ff02::1", "2001:db8::1", "3fff::1", "100::1", "2001:2::1", "2001:10::1", "5f00::1"),
            *(
                "::ffff:10.0.0.1",
                "::ffff:169.254.169.254",
                "::10.0.0.1",
                "64:ff9b::10.0.0.1",
                "64:ff9b:1::8.8.8.8",
            ),
            *(
                "2002:0a00:0001::1",
                "2002:0808:0808::1",
                "2001:0:4136:e378:8000:63bf:3fff:fdd2",
                "::ffff:0:8.8.8.8",
            ),
        ],
    )
    def test_are_no_others(self, address: str) -> None:
        assert not Rules().allow_address(address)

    @pytest.mark.parametrize(
        "address",
        [
            *(
                "1.1.1.1",
                "8.8.8.8",
                "100.63.255.255",
                "100.128.0.1",
                "172.32.0.1",
                "9.255.255.255",
                "11.0.0.1",
            ),
            *("192.0.1.1", "223.255.255.255", "169.253.1.1", "198.20.0.1", "2606:4700::1111", "2a00:1450::1"),
            *("2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"),
        ],
    )
    def test_are_all_the_rest(self, address: str) -> None:
        assert Rules().allow_address(address)

    @given(st.ip_addresses())
    def test_are_none_that_python_knows_to_be_special(self, address: IPv4Address | IPv6Address) -> None:
        special = (
            address.is_private
            or address.is_loopback
            or address.is_link_local
            or address.is_multicast
            or address.is_reserved
            or address.is_unspecified
            or not address.is_global
        )
        embedded = isinstance(address, IPv6Address) and address in IPv6Network("64:ff9b::/96")
        if special and not embedded and not (isinstance(address, IPv6Address) and address.ipv4_mapped):
            assert not Rules().allow_address(str(address))

    @given(st.ip_addresses(v=4))
    def test_are_the_same_in_ipv6_forms(self, address: IPv4Address) -> None:
        allowed = Rules().allow_address(str(address))
        assert Rules().allow_address(f"::ffff:{address}") == allowed
        assert Rules().allow_address(f"64:ff9b::{address}") == allowed

    @given(st.ip_addresses(v=4, network="10.0.0.0/8"))
    def test_are_not_reached_through_tunnels(self, inner: IPv4Address) -> None:
        everything_6 = Rules(networks=(IPv6Network("::/0"),))
        bits = int(inner)
        tunnels = [
            (0x2002 << 112) | (bits << 80) | 1,
            (0x2001 << 112) | (bits << 64) | 1,
            (0x2001 << 112) | (0x08080808 << 64) | (bits ^ 0xFFFFFFFF),
        ]
        for tunnel in tunnels:
            assert not everything_6.allow_address(str(IPv6Address(tunnel)))
        assert everything_6.allow_address("fd00::1")


class TestAllowedHosts:
    RULES = Rules.from_environment(
        {"WEBHOOK_ALLOWED_HOSTS": '["Example.com", "*.hooks.example", "*.bücher.example"]'}
    )

    @pytest.mark.parametrize(
        "host", ["example.com", "a.hooks.example", "a.b.hooks.example", "x.xn--bcher-kva.example"]
    )
    def test_are_those_named(self, host: str) -> None:
        assert self.RULES.allow_host(host)

    @pytest.mark.parametrize(
        "host",
        [
            "a.example.com",
            "hooks.example",
            "xhooks.example",
            "example.com.evil.example",
            "evil-example.com",
            "127.0.0.1",
        ],
    )
    def test_are_no_others(self, host: str) -> None:
        assert not self.RULES.allow_host(host)

    def test_are_all_when_none_is_named(self) -> None:
        assert Rules.from_environment({}).allow_host("anything.example")

    @pytest.mark.parametrize(
        "host", ["EXAMPLE.test", "example.test.", "Bücher.example", "xn--bcher-kva.example"]
    )
    def test_are_known_in_every_spelling(
        self,
        receiver: Receiver,
        resolver: Resolver,
        monkeypatch: pytest.MonkeyPatch,
        host: str,
    ) -> None:
        monkeypatch.setenv("WEBHOOK_ALLOWED_HOSTS", '["example.test", "bücher.example"]')
        asked = resolver(["127.0.0.1"])
        delivered(f"http://{host}:{receiver.port}")
        assert asked[0] in ("example.test", "xn--bcher-kva.example")
        assert receiver.received[0].headers["host"] == f"{asked[0]}:{receiver.port}"

    @pytest.mark.parametrize(
        "host", ["a..example", ".example", "exa%6dple.test", "a℀b.example", f"{'a' * 64}.ü", "[fe80::1%25lo]"]
    )
    def test_are_none_that_are_no_hosts(self, resolver: Resolver, host: str) -> None:
        asked = resolver(["127.0.0.1"])
        assert refused(f"http://{host}/").startswith("the URL ")
        assert asked == []

    def test_have_no_port_0(self, resolver: Resolver) -> None:
        asked = resolver(["127.0.0.1"])
        assert refused("http://a.example:0/") == "the URL names port 0"
        assert asked == []

    def test_are_checked_before_anything_is_resolved(
        self, resolver: Resolver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("WEBHOOK_ALLOWED_HOSTS", '["example.test"]')
        asked = resolver(["127.0.0.1"])
        assert refused("http://other.test/") == "other.test is not one of webhookAllowedHosts"
        assert asked == []
