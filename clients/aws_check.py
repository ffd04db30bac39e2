"""What boto3 finds and may do here, step by step and in plain words."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from clients.s3 import NO_URL, S3, SCHEME, split

FOUND_IN = {
    "explicit": "the command line",
    "env": "the environment (AWS_ACCESS_KEY_ID)",
    "shared-credentials-file": "the shared credentials file",
    "config-file": "the shared config file",
    "sso": "a single sign-on session",
    "login": "a login session",
    "assume-role": "a profile that assumes a role",
    "assume-role-with-web-identity": "a web identity token, as Kubernetes gives",
    "container-role": "the container's role",
    "iam-role": "the machine's role",
    "custom-process": "a process that a profile names",
}
ADVICE = {
    "AccessDenied": "Allow it in the policy of this identity, and in the bucket's own if it has one.",
    "ExpiredToken": "They have expired: get new ones, for example with aws sso login.",
    "ExpiredTokenException": "They have expired: get new ones, for example with aws sso login.",
    "InvalidAccessKeyId": "AWS does not know this key id: check it, and whether it is for another store.",
    "InvalidClientTokenId": "AWS does not know this key id: check it, and whether it was deactivated.",
    "NoSuchBucket": "Check the bucket's name.",
    "NoSuchKey": "Check the key.",
    "PermanentRedirect": "The bucket is in another region: set AWS_DEFAULT_REGION, or the profile's region.",
    "RequestTimeTooSkewed": "Set this machine's clock.",
    "SignatureDoesNotMatch": "The secret does not belong to this key id.",
}
NO_CREDENTIALS = (
    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a profile with --s3-profile, log in with "
    "aws sso login, or give this machine or pod a role."
)
UNREACHABLE = "Check the network, and the endpoint if one is set."


@dataclass(frozen=True, slots=True)
class Finding:
    """One step's outcome. `advice` says what to do if it is not `fine`."""

    step: str
    fine: bool
    text: str
    advice: str = ""


def check(s3: S3, role_arn: str | None, uri: str | None) -> Iterator[Finding]:
    """Credentials, region, identity, role, and then the bucket; ends where nothing further can work.

    Args:
        role_arn: to assume with the credentials, as the server's --aws-role-arn.
        uri: s3://bucket, s3://bucket/prefix/ or s3://bucket/key.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    step = "credentials"
    try:
        yield (found := _credentials(s3))
        if not found.fine:
            return
        step = "region"
        yield _region(s3)
        step = "identity"
        yield _identity(s3)
        if role_arn:
            step = "role"
            s3 = _assumed(s3, role_arn)
            yield Finding(step, True, f"{role_arn} can be assumed")
        if uri:
            step = "bucket"
            yield from _bucket(s3, *split(uri))
    except ClientError as error:
        yield _refused(step, error)
    except BotoCoreError as error:
        yield Finding(step, False, str(error), UNREACHABLE)
    except ValueError as error:  # not a URL
        yield Finding(step, False, str(error), NO_URL)


def _credentials(s3: S3) -> Finding:
    from botocore.exceptions import BotoCoreError

    try:
        found = s3.session().get_credentials()
        key = found.get_frozen_credentials().access_key if found else ""
    except BotoCoreError as error:
        return Finding("credentials", False, str(error), "Check the AWS_ variables and the shared AWS files.")
    except RuntimeError as error:  # renewed ones that have expired already
        return Finding("credentials", False, str(error), "Check who gives them, and this machine's clock.")
    if found is None:
        return Finding("credentials", False, "none found", NO_CREDENTIALS)
    where = FOUND_IN.get(found.method, found.method)
    return Finding("credentials", True, f"found in {where}: key {key[:4]}…{key[-4:]}")


def _region(s3: S3) -> Finding:
    region = s3.session().region_name
    return Finding("region", True, region or "none is set; S3 is asked in us-east-1 first")


def _identity(s3: S3) -> Finding:
    if s3.endpoint:
        return Finding("identity", True, "not asked for: the store is not AWS")
    from botocore.exceptions import BotoCoreError

    try:
        identity = _sts(s3).get_caller_identity()
    except BotoCoreError as error:
        return Finding("identity", True, f"not known, as STS does not answer ({type(error).__name__})")
    return Finding("identity", True, f"{identity['Arn']} of account {identity['Account']}")


def _assumed(s3: S3, role_arn: str) -> S3:
    role = _sts(s3).assume_role(RoleArn=role_arn, RoleSessionName="deepfake-detector-check")["Credentials"]
    keys = role["AccessKeyId"], role["SecretAccessKey"], role["SessionToken"]
    return S3(None, *keys, endpoint=s3.endpoint, region=s3.session().region_name)


def _sts(s3: S3) -> Any:
    from botocore.config import Config

    session = s3.session()
    config = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2})
    return session.client("sts", region_name=session.region_name or "us-east-1", config=config)


def _bucket(s3: S3, bucket: str, key: str) -> Iterator[Finding]:
    """Listing and reading are allowed apart, so that one may work without the other."""
    from botocore.exceptions import ClientError

    place = f"{SCHEME}{bucket}/{quote(key)}"
    first = "" if key.endswith("/") else key
    try:
        listed = s3.client.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1).get("Contents", [])
        first = listed[0]["Key"] if listed else first
        yield Finding("list", True, f"{place} can be listed" + ("" if listed else ", and is empty"))
    except ClientError as error:
        yield _refused("list", error)
    if not first:
        yield Finding("read", True, f"not tried, as no object is known: name one, as {SCHEME}bucket/key")
        return
    try:
        s3.client.get_object(Bucket=bucket, Key=first, Range="bytes=0-0")["Body"].close()
        yield Finding("read", True, f"{SCHEME}{bucket}/{quote(first)} can be read")
    except ClientError as error:
        yield _refused("read", error)


def _refused(step: str, error: Any) -> Finding:
    told = error.response["Error"]
    # The latter where the body is not S3's, but of a proxy.
    code = told.get("Code") or str(error.response["ResponseMetadata"]["HTTPStatusCode"])
    return Finding(step, False, f"{code}: {told.get('Message', '')}", ADVICE.get(code, ""))
