"""A key's list of models is a wall: nothing outside it, by whatever path, and no path whose model cannot be known."""

from collections.abc import Awaitable

from tollkeeper.core.call import Call, Reply
from tollkeeper.core.errors import CallerError, model_not_found
from tollkeeper.core.ports import Handler

ORDER = 150


class Rights:
    """A model that a key may not use does not exist for it: the answer is the same."""

    def __call__(self, call: Call, next: Handler) -> Awaitable[Reply]:
        if call.key.models is not None:
            # Where nothing is made a model in the body decides nothing: it must not open what is stored, or a batch.
            if call.model is None or not call.metered:
                raise CallerError(
                    f"This key is limited to certain models; /v1/{call.path} names none, so it is not open to this key.",
                    status=403,
                    type="permission_error",
                    code="model_required",
                )
            if not call.key.may_use(call.model):
                raise model_not_found(call.model)
            if "models" in call.members:  # OpenRouter's fallbacks: https://openrouter.ai/docs/features/model-routing
                raise CallerError(
                    "This key is limited to certain models; 'models' could name others.",
                    status=403,
                    type="permission_error",
                    code="model_required",
                    param="models",
                )
        return next(call)
