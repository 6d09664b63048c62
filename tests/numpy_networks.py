"""The CIFAR networks in NumPy, forward and backward: a peer without a framework, written from their definitions.

Images are `[batch, channels, height, width]`. A value remembers how it was made, so that `gradients` can go backwards.
"""

import numpy as np

EPSILON, MOMENTUM = 1e-5, 0.1


class Value:
    """An array, and for each array that it was made from the function from its gradient to theirs."""

    def __init__(self, array, *origins):
        self.array, self.origins, self.gradient = array, origins, 0.0


def gradients(output, output_gradient):
    """Fill in `.gradient` of everything that `output` was made from."""
    order, seen, stack = [], set(), [(output, False)]
    while stack:
        value, done = stack.pop()
        if done:
            order.append(value)
        elif id(value) not in seen:
            seen.add(id(value))
            stack.append((value, True))
            stack += [(origin, False) for origin, _ in value.origins]
    output.gradient = output_gradient
    for value in reversed(order):
        for origin, backward in value.origins:
            origin.gradient = origin.gradient + backward(value.gradient)


def convolution(x, weight, stride=1, bias=None):
    """Correlation with padding size // 2 on every side: one matrix product over all windows."""
    images, kernel = x.array, weight.array
    out, _, size, _ = kernel.shape
    padding = size // 2
    padded = np.pad(images, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), (2, 3))[:, :, ::stride, ::stride]
    rows = windows.transpose(0, 2, 3, 1, 4, 5)
    batch, height, width = rows.shape[:3]
    rows = rows.reshape(batch * height * width, -1)
    result = (rows @ kernel.reshape(out, -1).T).reshape(batch, height, width, out).transpose(0, 3, 1, 2)

    def flat(gradient):
        return gradient.transpose(0, 2, 3, 1).reshape(-1, out)

    def to_kernel(gradient):
        return (flat(gradient).T @ rows).reshape(kernel.shape)

    def to_images(gradient):
        parts = (flat(gradient) @ kernel.reshape(out, -1)).reshape(batch, height, width, -1, size, size)
        spread = np.zeros_like(padded)
        for i in range(size):
            for j in range(size):
                place = spread[:, :, i : i + stride * height : stride, j : j + stride * width : stride]
                place += parts[..., i, j].transpose(0, 3, 1, 2)
        return spread[:, :, padding : padding + images.shape[2], padding : padding + images.shape[3]]

    if bias is None:
        return Value(result, (x, to_images), (weight, to_kernel))
    to_bias = (bias, lambda gradient: gradient.sum((0, 2, 3)))
    return Value(result + bias.array[:, None, None], (x, to_images), (weight, to_kernel), to_bias)


def relu(x):
    positive = x.array > 0
    return Value(x.array * positive, (x, lambda gradient: gradient * positive))


def add(a, b):
    return Value(a.array + b.array, (a, lambda gradient: gradient), (b, lambda gradient: gradient))


def max_pool(x):
    batch, channels, height, width = x.array.shape
    cut = x.array.reshape(batch, channels, height // 2, 2, width // 2, 2)
    best = cut.max((3, 5), keepdims=True)
    share = (cut == best) / (cut == best).sum((3, 5), keepdims=True)  # no ties among random numbers but at 0, where ReLU

    def backward(gradient):  # has no gradient anyway
        return (share * gradient[:, :, :, None, :, None]).reshape(x.array.shape)

    return Value(best[:, :, :, 0, :, 0], (x, backward))


def spatial_mean(x):
    height, width = x.array.shape[2:]
    backward = lambda g: np.broadcast_to(g[:, :, None, None] / (height * width), x.array.shape)  # noqa: E731
    return Value(x.array.mean((2, 3)), (x, backward))


def linear(x, weight, bias):
    return Value(
        x.array @ weight.array.T + bias.array,
        (x, lambda g: g @ weight.array),
        (weight, lambda g: g.T @ x.array),
        (bias, lambda g: g.sum(0)),
    )


class Network:
    """One network with its weights; `training` decides about batch normalisation.

    Args:
        spec: from `backends.common.networks.networks.get`.
        weights: by PyTorch name, float64; running statistics are changed by forward passes in training.
    """

    def __init__(self, spec, weights):
        self.spec, self.training = spec, True
        self.weights = {name: Value(array.copy()) for name, array in weights.items()}

    def arrays(self):
        return {name: value.array for name, value in self.weights.items()}

    def __call__(self, images):
        """Logits of `[batch, height, width, channels]` as a Value."""
        forward = {"resnet": self._resnet, "wide_resnet": self._wide_resnet, "vgg": self._vgg}[self.spec.family]
        return forward(Value(images.transpose(0, 3, 1, 2)))

    def step(self, images, labels, learning_rate, weight_decay, velocities=None, momentum=0.9):
        """One SGD step on the mean cross entropy (PyTorch's meaning); returns loss and velocities."""
        for value in self.weights.values():
            value.gradient = 0.0
        logits = self(images)
        shifted = logits.array - logits.array.max(1, keepdims=True)
        log_q = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
        hot = np.eye(self.spec.classes)[labels]
        gradients(logits, (np.exp(log_q) - hot) / len(labels))
        velocities = dict(velocities or {})
        for name, value in self.weights.items():
            if not name.endswith(("running_mean", "running_var")):
                gradient = value.gradient + weight_decay * value.array
                velocities[name] = momentum * velocities.get(name, 0.0) + gradient
                value.array = value.array - learning_rate * velocities[name]
        return -(hot * log_q).sum() / len(labels), velocities

    def _conv(self, x, name, stride=1):
        return convolution(x, self.weights[f"{name}.weight"], stride, self.weights.get(f"{name}.bias"))

    def _linear(self, x, name):
        return linear(spatial_mean(x), self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def _norm(self, x, name):
        scale, shift, mean, variance = (
            self.weights[f"{name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
        )
        column = lambda array: array[:, None, None]  # noqa: E731
        m, v = mean.array, variance.array
        if self.training:
            m, v = x.array.mean((0, 2, 3)), x.array.var((0, 2, 3))
            count = x.array.size // len(m)
            mean.array = (1 - MOMENTUM) * mean.array + MOMENTUM * m
            variance.array = (1 - MOMENTUM) * variance.array + MOMENTUM * v * count / (count - 1)
        normal = (x.array - column(m)) / np.sqrt(column(v) + EPSILON)

        def to_x(gradient):
            gradient = gradient * column(scale.array)
            centred = gradient - gradient.mean((0, 2, 3), keepdims=True)
            along = (gradient * normal).mean((0, 2, 3), keepdims=True)
            return (centred - normal * along) / np.sqrt(column(v) + EPSILON)

        return Value(
            normal * column(scale.array) + column(shift.array),
            (x, to_x),
            (scale, lambda g: (g * normal).sum((0, 2, 3))),
            (shift, lambda g: g.sum((0, 2, 3))),
        )

    def _resnet(self, x):
        x = relu(self._norm(self._conv(x, "conv1"), "bn1"))
        for stage in (1, 2, 3):
            for number in range(self.spec.blocks):
                name, stride = f"layer{stage}.{number}", 2 if stage > 1 and number == 0 else 1
                out = relu(self._norm(self._conv(x, f"{name}.conv1", stride), f"{name}.bn1"))
                out = self._norm(self._conv(out, f"{name}.conv2"), f"{name}.bn2")
                if x.array.shape != out.array.shape:
                    x = self._norm(self._conv(x, f"{name}.downsample.0", stride), f"{name}.downsample.1")
                x = relu(add(out, x))
        return self._linear(x, "fc")

    def _wide_resnet(self, x):
        x = self._conv(x, "conv1")
        for stage in (1, 2, 3):
            for number in range(self.spec.blocks):
                name, stride = f"block{stage}.layer.{number}", 2 if stage > 1 and number == 0 else 1
                active = relu(self._norm(x, f"{name}.bn1"))
                out = relu(self._norm(self._conv(active, f"{name}.conv1", stride), f"{name}.bn2"))
                out = self._conv(out, f"{name}.conv2")
                if x.array.shape != out.array.shape:
                    x = self._conv(active, f"{name}.convShortcut", stride)
                x = add(out, x)
        return self._linear(relu(self._norm(x, "bn1")), "fc")

    def _vgg(self, x):
        for stage in range(5):
            for number in range(self.spec.blocks):
                name = f"block{stage}.{3 * number}"
                x = relu(self._norm(self._conv(x, name), f"block{stage}.{3 * number + 1}"))
            x = max_pool(x) if stage < 3 else x
        return self._linear(x, "classifier")
