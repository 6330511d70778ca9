"""The balance gateway, asked and read by the profile's contract.

Strict about every answer, for a wrong answer that parses is the costliest. Fields that are not known are tolerated.
"""

from balancebook.gateway.answers import GatewayAnswer, GatewayBalance, GatewayHealth, Probe
from balancebook.gateway.client import GatewayClient
from balancebook.gateway.errors import GatewayError

__all__ = [
    "GatewayAnswer",
    "GatewayBalance",
    "GatewayClient",
    "GatewayError",
    "GatewayHealth",
    "Probe",
]
