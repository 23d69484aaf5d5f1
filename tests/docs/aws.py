"""AWS' command line, as far as pages use it: `aws SERVICE OPERATION --parameter VALUE`.

The tool itself needs other versions of boto3 than the SageMaker SDK. Its options are those of AWS' own description of
a service, which boto3 has.
"""

import json
from pathlib import Path

import botocore.session
from botocore import xform_name
from botocore.validate import validate_parameters

ANYWHERE = "us-east-1"  # descriptions are the same in all regions
CONVERTED = {"integer": int, "long": int, "boolean": json.loads, "structure": json.loads, "list": json.loads}


class Request:
    """What a command line asks AWS for.

    Attributes:
        service: As boto3 names it.
        operation: Likewise, the name of a client's method.
        parameters: Of the method.

    Raises:
        AssertionError: AWS has no such operation or option.
        botocore.exceptions.ParamValidationError: A parameter is missing, or its value is not of the right type.
    """

    def __init__(self, words, read=lambda path: Path(path).read_text()):
        self.service, operation, *options = words
        self.operation = operation.replace("-", "_")
        client = botocore.session.get_session().create_client(self.service, region_name=ANYWHERE)
        names = {xform_name(name, "-"): name for name in client.meta.service_model.operation_names}
        assert operation in names, f"aws {self.service} has no {operation}"
        shape = client.meta.service_model.operation_model(names[operation]).input_shape
        members = {xform_name(name, "-"): (name, member) for name, member in shape.members.items()}
        self.parameters = {}
        for option, value in zip(options[::2], options[1::2], strict=True):
            assert option.startswith("--") and option[2:] in members, f"aws {self.service} {operation} has no {option}"
            name, member = members[option[2:]]
            text = read(value.removeprefix("file://")) if value.startswith("file://") else value
            self.parameters[name] = CONVERTED.get(member.type_name, str)(text)
        validate_parameters(self.parameters, shape)
