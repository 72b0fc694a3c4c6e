"""From the configuration of an alert channel to the channel itself; heavy parts are loaded when one is first needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final

from ccagent import __version__
from ccagent.alerts.rule import Scope
from ccagent.clock import Clock
from ccagent.config_channels import ChannelConfig
from ccagent.config_reference import masked_url
from ccagent.notify.channel import Channel
from ccagent.outgoing import resource_of
from ccagent.store.alert_places import places
from ccagent.store.consent import keep_project_key
from ccagent.store.writer import Writer

if TYPE_CHECKING:
    from ccagent.alerts.message import Message
    from ccagent.notify.placing import Folder, Placed
    from ccagent.otlp_settings import OtlpSettings

Reader = Callable[[], AbstractContextManager[Any]]

OPEN_TIER: Final = 2
"""A personal tier that lowers nothing: what is left is what projects say."""


def check_channel(config: ChannelConfig) -> None:
    """Raises ConfigError for a channel that cannot be used as it is set up; sends nothing and opens nothing."""
    if config.type == "command":
        from ccagent.notify.command import check

        check(config.name, config.command)
    elif config.type in ("webhook", "slack"):
        from ccagent.notify.post import check_url

        check_url(config.name, _address(config))


def check_channels(channels: Mapping[str, ChannelConfig]) -> None:
    """Raises ConfigError for the first of them that cannot be used."""
    for config in channels.values():
        check_channel(config)


def sending_channels(channels: Mapping[str, ChannelConfig]) -> dict[str, str]:
    """Channels by which something may leave the machine, with where it goes in words; no secret is among them."""
    return {
        f"{config.name} ({config.type})": f" at {masked_url(config.url)}" if config.url else ""
        for config in channels.values()
        if config.type in ("webhook", "slack", "command")
    }


def make_channel(
    config: ChannelConfig, settings: OtlpSettings, store: Writer, reader: Reader, clock: Clock, env: Mapping[str, str]
) -> Channel:
    """The channel. Raises ConfigError for one that cannot be used, StoreError where the database is asked in vain."""
    if config.type == "desktop":
        from ccagent.notify.desktop import DesktopChannel

        return DesktopChannel(env, timeout_seconds=config.timeout_seconds)
    if config.type == "webhook":
        from ccagent.notify.webhook import WebhookChannel

        return _outside(WebhookChannel(config.name, _address(config)), reader, clock)
    if config.type == "slack":
        from ccagent.notify.slack import SlackChannel

        return _outside(SlackChannel(config.name, _address(config)), reader, clock)
    if config.type == "command":
        from ccagent.notify.command import CommandChannel

        return CommandChannel(config.name, config.command, env, timeout_seconds=config.timeout_seconds)
    if config.type == "otlp":
        return _otlp(settings, store, reader, clock)
    from ccagent.notify.log import LogChannel

    return LogChannel()


def _address(config: ChannelConfig) -> Any:
    from ccagent.notify.post import Address

    return Address(
        url=config.url or "", headers=config.headers, timeout_seconds=config.timeout_seconds,
        certificate=config.certificate, insecure=config.insecure,
    )  # fmt: skip


def _outside(channel: Channel, reader: Reader, clock: Clock) -> Channel:
    """The channel, but for alerts of projects whose own file says that nothing leaves. Where the owner's messages go is no
    matter of the personal tier: naming the channel is the consent."""
    from ccagent.export.privacy import TierResolver
    from ccagent.notify.withholding import Withholding

    tiers = TierResolver(OPEN_TIER, clock.now_ms)

    def leaves(message: Message) -> bool:
        if not message.place:
            return True  # it names no project
        with reader() as conn:
            # The rule may be gone, or look at something else by now: whatever the subject is, its work decides.
            work = [each for scope in (Scope.SESSION, Scope.FEATURE) for each in places(conn, scope, message.place)]
        found = [(message.place, message.place), *work]  # a project is named as its own folder allows
        return all(tiers.policy(cwd, project).tier for cwd, project in found)

    return Withholding(channel, leaves)


def _otlp(settings: OtlpSettings, store: Writer, reader: Reader, clock: Clock) -> Channel:
    from ccagent.export.privacy import TierResolver
    from ccagent.notify.otlp import OtlpChannel
    from ccagent.notify.placing import place

    key = keep_project_key(store) if settings.of("logs") else None
    tiers = TierResolver(settings.personal_tier, clock.now_ms, key=key, identity=settings.identity)

    def folders(scope: Scope, subject: str) -> list[Folder]:
        with reader() as conn:
            return places(conn, scope, subject)

    def placed(message: Message) -> Placed | None:
        return place(message, folders(message.scope, message.place), tiers)

    return OtlpChannel(settings.of("logs"), resource_of(settings, store.instance_id), __version__, placed)
