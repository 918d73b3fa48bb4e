from __future__ import annotations

import pytest
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError
from azure.servicebus.exceptions import (
    MessageAlreadySettled,
    MessageLockLostError,
    MessageSizeExceededError,
    MessagingEntityDisabledError,
    MessagingEntityNotFoundError,
    OperationTimeoutError,
    ServiceBusAuthenticationError,
    ServiceBusAuthorizationError,
    ServiceBusConnectionError,
    ServiceBusError,
    ServiceBusQuotaExceededError,
    ServiceBusServerBusyError,
)

from libs.common.bus.errors import (
    BusAuthError,
    BusError,
    BusFullError,
    BusSettingsError,
    BusUnavailableError,
    EntityMissingError,
    LockLostError,
    MessageTooLargeError,
    translate,
)
from libs.common.bus.servicebus import connect
from libs.common.settings import CommonSettings, load_settings


@pytest.mark.parametrize(
    ("theirs", "ours", "transient"),
    [
        (ServiceBusConnectionError(), BusUnavailableError, True),
        (ServiceBusServerBusyError(), BusUnavailableError, True),
        (OperationTimeoutError(), BusUnavailableError, True),
        (ServiceBusError("whatever"), BusUnavailableError, True),
        (ServiceRequestError("dns"), BusUnavailableError, True),
        (ConnectionResetError(), BusUnavailableError, True),
        (ServiceBusQuotaExceededError(), BusFullError, True),
        (MessageLockLostError(), LockLostError, True),
        (MessageAlreadySettled(), LockLostError, True),
        (ServiceBusAuthenticationError(), BusAuthError, False),
        (ServiceBusAuthorizationError(), BusAuthError, False),
        (ClientAuthenticationError("no token"), BusAuthError, False),
        (MessagingEntityNotFoundError(), EntityMissingError, False),
        (MessagingEntityDisabledError(), EntityMissingError, False),
        (MessageSizeExceededError(), MessageTooLargeError, False),
    ],
)
def test_every_error_of_the_sdk_gets_one_meaning(theirs: Exception, ours: type[BusError], transient: bool) -> None:
    error = translate(theirs, "events.extracted/validator")
    assert type(error) is ours
    assert error.transient is transient
    assert "events.extracted/validator" in str(error)
    assert error.next_step


def test_an_error_of_ours_stays_itself() -> None:
    error = LockLostError()
    assert translate(error, "x") is error


def test_without_a_bus_in_the_settings_the_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("empty"))
    monkeypatch.delenv("SERVICEBUS_CONNECTION_STRING", raising=False)
    monkeypatch.delenv("SERVICEBUS_NAMESPACE", raising=False)
    with pytest.raises(BusSettingsError, match="SERVICEBUS_NAMESPACE"):
        connect(load_settings(CommonSettings))


def test_a_wrong_connection_string_is_refused_without_being_quoted() -> None:
    with pytest.raises(BusSettingsError) as caught:
        connect(load_settings(CommonSettings, servicebus_connection_string="SharedAccessKey=hunter2"))
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
