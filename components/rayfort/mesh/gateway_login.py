"""How people prove to the gateway who they are: what it asks of every request, and whom it lets through.

Ray's dashboard looks for its own token in ``Authorization``, ``X-Ray-Authorization`` and a cookie, and
refuses a wrong one in the first of them that is there. So a JWT travels in a header of its own, which the
gateway takes off.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Final

from pydantic import AfterValidator, Field, model_validator

from rayfort.model import URL_PLACE, JsonObject, Model, Written

HEADER: Final = "x-rayfort-jwt"
IAP_HEADER: Final = "x-goog-iap-jwt-assertion"
IAP_ISSUER: Final = "https://cloud.google.com/iap"
IAP_KEYS: Final = "https://www.gstatic.com/iap/verify/public_key-jwk"
# From where Google's load balancers forward requests and check health.
IAP_SOURCES: Final = ("35.191.0.0/16", "130.211.0.0/22")
RAY_HEADERS: Final = frozenset({"authorization", "x-ray-authorization", "cookie"})
RAY_COOKIE: Final = "ray-authentication-token"
_PRIVATE_PARTS: Final = frozenset({"d", "k", "p", "q", "dp", "dq", "qi", "oth"})


def _header(value: str) -> str:
    if value.lower() in RAY_HEADERS:
        raise ValueError(f"{value} is where Ray looks for its own token; choose another, such as {HEADER}")
    return value.lower()


def _cookie(value: str) -> str:
    if value == RAY_COOKIE:
        raise ValueError("is the cookie with Ray's own token; choose another")
    return value


def _public_keys(value: str) -> str:
    try:
        keys = json.loads(value)["keys"]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError('is no set of keys; write the JSON text {"keys": [...]}') from error
    if not isinstance(keys, list) or not keys or not all(isinstance(key, dict) for key in keys):
        raise ValueError('holds no keys; write the JSON text {"keys": [...]} with at least one')
    if any(_PRIVATE_PARTS & key.keys() for key in keys):
        raise ValueError("holds a private or shared key; list the public keys only, and replace that one")
    return value


HeaderName = Annotated[
    str,
    Written(r"[A-Za-z0-9-]+", "is not a header's name; use letters, digits and '-'"),
    AfterValidator(_header),
]
CookieName = Annotated[
    str,
    Written(r"[A-Za-z0-9_.-]+", "is not a cookie's name; use letters, digits, '_', '.' and '-'"),
    AfterValidator(_cookie),
]
HttpsUrl = Annotated[
    str,
    Written(
        rf"https://{URL_PLACE}",
        "is not an https URL; write https://host/path, without a login",
    ),
]
Issuer = Annotated[str, Written(r"[!-)+-~]+", "is not an issuer; write it as in the JWT's `iss`")]
ClaimName = Annotated[
    str, Written(r"[^\s\[\]]+", "is not a claim's name; write it as in the JWT, without brackets")
]
ClaimValue = Annotated[str, Field(min_length=1)]
Claims = dict[ClaimName, Annotated[tuple[ClaimValue, ...], Field(min_length=1)]]


class JwtLogin(Model):
    """JWTs of an OpenID Connect provider, or of anything else that signs them.

    Args:
        issuer: who signs them, as in their ``iss``.
        jwks_uri: where the issuer's public keys are; istiod fetches them, not the gateway.
        jwks: instead, the public keys: the JSON text of a key set.
        audiences: for whom a JWT may be, as in its ``aud``; one of these must be in it.
        header: the request header with the JWT and nothing else; the gateway takes it off.
        cookie: a cookie that may hold the JWT as well. The gateway cannot take it off, so that code in the
            Ray cluster sees it.
    """

    issuer: Issuer
    jwks_uri: HttpsUrl | None = None
    jwks: Annotated[str, AfterValidator(_public_keys)] | None = None
    audiences: tuple[Annotated[str, Field(min_length=1)], ...] = Field(min_length=1)
    header: HeaderName = HEADER
    cookie: CookieName | None = None

    @model_validator(mode="after")
    def _one_source_of_keys(self) -> "JwtLogin":
        if (self.jwks_uri is None) == (self.jwks is None):
            raise ValueError("set either `jwksUri` (where the issuer's keys are) or `jwks` (the keys)")
        return self

    @property
    def rule(self) -> JsonObject:
        """The entry of a RequestAuthentication."""
        keys = {"jwks": self.jwks} if self.jwks else {"jwksUri": self.jwks_uri}
        cookies = {"fromCookies": [self.cookie]} if self.cookie else {}
        return {**_rule(self.issuer, self.audiences, self.header), **keys, **cookies}


class IapLogin(Model):
    """Google's Identity-Aware Proxy in front of the gateway.

    Args:
        audience: the ``aud`` of its assertions: ``/projects/NUMBER/global/backendServices/ID``.
    """

    audience: Annotated[
        str,
        Written(
            r"/projects/[0-9]+/(global|regions/[a-z0-9-]+)/backendServices/[0-9]+",
            "is not an audience of IAP; copy it from the signed header settings of its backend service: "
            "/projects/NUMBER/global/backendServices/ID",
        ),
    ]

    @property
    def issuer(self) -> str:
        """Who signs its assertions."""
        return IAP_ISSUER

    @property
    def header(self) -> str:
        """The header with its assertion."""
        return IAP_HEADER

    @property
    def rule(self) -> JsonObject:
        """The entry of a RequestAuthentication."""
        return {**_rule(self.issuer, [self.audience], self.header), "jwksUri": IAP_KEYS}


Login = JwtLogin | IapLogin


def _rule(issuer: str, audiences: Sequence[str], header: str) -> JsonObject:
    return {
        "issuer": issuer,
        "audiences": list(audiences),
        "fromHeaders": [{"name": header}],
        "forwardOriginalToken": False,
    }


def request_authentication_spec(selector: Mapping[str, str], login: Login) -> JsonObject:
    """``spec`` that refuses JWTs which do not hold; requests without one pass it."""
    return {"selector": {"matchLabels": dict(selector)}, "jwtRules": [login.rule]}


def authorization_spec(
    selector: Mapping[str, str], login: Login, hosts: Sequence[tuple[str, Sequence[Claims]]]
) -> JsonObject:
    """``spec`` that lets through who has a JWT of this issuer with the claims that a host asks for.

    Args:
        selector: labels of the gateway's Pods.
        login: who signs JWTs.
        hosts: for each host, sets of claims; a JWT must have all of them, each with one of its values.
    """
    return {
        "selector": {"matchLabels": dict(selector)},
        "action": "ALLOW",
        "rules": [_host_rule(login, host, sets) for host, sets in hosts],
    }


def _host_rule(login: Login, host: str, sets: Sequence[Claims]) -> JsonObject:
    conditions = [
        {"key": f"request.auth.claims[{name}]", "values": list(values)}
        for claims in sets
        for name, values in claims.items()
    ]
    return {
        "from": [{"source": {"requestPrincipals": [f"{login.issuer}/*"]}}],
        # Clients write the port into the host where it is not 443.
        "to": [{"operation": {"hosts": [host, f"{host}:*"]}}],
        **({"when": conditions} if conditions else {}),
    }
