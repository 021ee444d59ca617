"""TLS of a listener, from PEM files (KIP-651)."""

import ssl

from salon.broker.config import BrokerConfig
from salon.broker.errors import SettingError

_CLIENT_AUTH = {
    "none": ssl.CERT_NONE,
    "requested": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}


def server_context(config: BrokerConfig) -> ssl.SSLContext:
    """The context of all TLS listeners: TLS 1.2 and 1.3.

    Raises:
        SettingError: theirs; a file that is not there or holds something else.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    name = "ssl.keystore.location"
    try:
        context.load_cert_chain(
            config.ssl_keystore_location, password=config.ssl_key_password
        )
        context.verify_mode = _CLIENT_AUTH[config.ssl_client_auth]
        if config.ssl_truststore_location:
            name = "ssl.truststore.location"
            context.load_verify_locations(config.ssl_truststore_location)
    except (OSError, ssl.SSLError) as error:
        reason = getattr(error, "strerror", None) or error
        path = getattr(config, name.replace(".", "_"))
        raise SettingError(f"{name} is {path!r}: {reason}") from error
    return context
