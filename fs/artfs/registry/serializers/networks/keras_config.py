"""What the configuration of a network may build: layers of Keras itself, and what these are made with.

Each class is named here for the module that it is in.  Not named, and so not judged: layers that run code from their
configuration (Lambda), load models or modules of others (TFSMLayer, TorchModuleWrapper, JaxLayer, FlaxLayer), or read
files that it names (StringLookup, IntegerLookup, TextVectorization), and classes that programs register.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

__all__ = ["judged", "renumbered", "with_registered", "without_training"]

_LAYERS: Final = (
    "Activation ActivityRegularization Add AdditiveAttention AlphaDropout Attention Average AveragePooling1D "
    "AveragePooling2D AveragePooling3D BatchNormalization Bidirectional CategoryEncoding CenterCrop Concatenate Conv1D "
    "Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D Cropping1D "
    "Cropping2D Cropping3D Dense DepthwiseConv1D DepthwiseConv2D Dot Dropout ELU EinsumDense Embedding Flatten GRU "
    "GRUCell GaussianDropout GaussianNoise GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D "
    "GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D GroupNormalization GroupQueryAttention Identity "
    "InputLayer LSTM LSTMCell LayerNormalization LeakyReLU Masking MaxPooling1D MaxPooling2D MaxPooling3D Maximum "
    "Minimum MultiHeadAttention Multiply Normalization PReLU Permute RMSNormalization RNN ReLU RepeatVector Rescaling "
    "Reshape SeparableConv1D SeparableConv2D SimpleRNN SimpleRNNCell Softmax SpatialDropout1D SpatialDropout2D "
    "SpatialDropout3D SpectralNormalization StackedRNNCells Subtract TimeDistributed UnitNormalization UpSampling1D "
    "UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D"
)
_OTHERS: Final = {
    "keras": "DTypePolicy Functional Sequential",
    "keras.models": "Functional Sequential",
    "keras.src.models.functional": "Functional",
    "keras.src.models.sequential": "Sequential",
    "keras.layers": _LAYERS,
    "keras.initializers": (
        "Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity LecunNormal LecunUniform Ones Orthogonal "
        "OrthogonalInitializer RandomNormal RandomUniform TruncatedNormal VarianceScaling Zeros"
    ),
    "keras.regularizers": "L1 L1L2 L2 OrthogonalRegularizer",
    "keras.constraints": "MaxNorm MinMaxNorm NonNeg UnitNorm",
    "keras.optimizers": ("Adadelta Adafactor Adagrad Adam AdamW Adamax Ftrl Lamb Lion Muon Nadam RMSprop SGD"),
    "keras.optimizers.schedules": (
        "CosineDecay CosineDecayRestarts ExponentialDecay InverseTimeDecay PiecewiseConstantDecay PolynomialDecay"
    ),
    "keras.losses": (
        "BinaryCrossentropy BinaryFocalCrossentropy CategoricalCrossentropy CategoricalFocalCrossentropy "
        "CategoricalHinge CosineSimilarity Dice Hinge Huber KLDivergence LogCosh MeanAbsoluteError "
        "MeanAbsolutePercentageError MeanSquaredError MeanSquaredLogarithmicError Poisson "
        "SparseCategoricalCrossentropy SquaredHinge Tversky"
    ),
    "keras.metrics": (
        "AUC Accuracy BinaryAccuracy BinaryCrossentropy CategoricalAccuracy CategoricalCrossentropy CosineSimilarity "
        "F1Score FBetaScore FalseNegatives FalsePositives KLDivergence Mean MeanAbsoluteError "
        "MeanAbsolutePercentageError MeanSquaredError MeanSquaredLogarithmicError Poisson Precision R2Score Recall "
        "RootMeanSquaredError SparseCategoricalAccuracy SparseCategoricalCrossentropy "
        "SparseTopKCategoricalAccuracy TopKCategoricalAccuracy TrueNegatives TruePositives"
    ),
    "keras.src.ops.numpy": (
        "Absolute Add Clip Concatenate Divide Exp ExpandDims Log Matmul Max Maximum Mean Min Minimum Multiply Negative "
        "Power Reshape Sqrt Square Squeeze Stack Subtract Sum Tanh Transpose TrueDivide"
    ),
    "keras.src.ops.nn": "Elu Gelu Relu Sigmoid Silu Softmax Softplus",
}
_TORCH: Final = "Adadelta Adagrad Adam Adamax AdamW Lion Nadam RMSprop SGD"
"""The optimizers that a network has by another name where Keras runs with torch."""
_CLASSES: Final = frozenset(
    {
        *((module, name) for module, names in _OTHERS.items() for name in names.split()),
        *((f"keras.src.backend.torch.optimizers.torch_{name.lower()}", name) for name in _TORCH.split()),
    }
)
_VALUES: Final = frozenset({"__keras_tensor__", "__ellipsis__", "__slice__"})
_FUNCTIONS: Final = frozenset(
    {
        *(
            "celu",
            "elu",
            "exponential",
            "gelu",
            "glu",
            "hard_sigmoid",
            "hard_silu",
            "hard_tanh",
            "leaky_relu",
            "linear",
        ),
        *("log_sigmoid", "log_softmax", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "softmax", "softplus"),
        *("softsign", "swish", "tanh", "tanh_shrink"),
        *("binary_crossentropy", "categorical_crossentropy", "cosine_similarity", "hinge", "huber", "kl_divergence"),
        *("log_cosh", "mean_absolute_error", "mean_absolute_percentage_error", "mean_squared_error", "poisson"),
        *("mean_squared_logarithmic_error", "sparse_categorical_crossentropy", "squared_hinge"),
    }
)
_LARGEST: Final = 1 << 24
_SHARED: Final = "shared_object_id"


def judged(config: Any) -> str:
    """Return what a configuration has that is not judged; an empty text if there is nothing."""
    for value in _values(config):
        if isinstance(value, dict) and "class_name" in value:
            name, module = value["class_name"], value.get("module")
            if name == "function":
                known = module == "builtins" and value.get("config") in _FUNCTIONS
            elif name in _VALUES:
                known = True
            else:
                known = (module, name) in _CLASSES and value.get("registered_name") in (None, name)
            if not known:
                return f"the class {str(module)[:60]}.{str(name if name != 'function' else value.get('config'))[:60]}"
    sizes = _without(config, frozenset({_SHARED, "seed"}))
    numbers = (value for value in _values(sizes) if type(value) is int and abs(value) > _LARGEST)
    return next((f"the number {value}" for value in numbers), "")


def renumbered(config: Any) -> Any:
    """Return a configuration whose shared objects are numbered in order; Keras numbers them by their addresses."""
    numbers: dict[Any, int] = {}

    def copied(value: Any) -> Any:
        if isinstance(value, list):
            return [copied(each) for each in value]
        if not isinstance(value, dict):
            return value
        made = {}
        for key, each in value.items():
            if key != _SHARED or type(each) is not int:
                made[key] = copied(each)
            elif value.get("class_name") != "DTypePolicy":  # a value, which layers share or not by accident
                made[key] = numbers.setdefault(each, len(numbers) + 1)
        return made

    return copied(config)


def without_training(config: Any) -> Any:
    """Return a configuration without optimizers and losses."""
    return _without(config, frozenset({"compile_config"}))


def with_registered(config: Any) -> Any:
    """Return a configuration whose initializers are looked up among registered ones first."""
    if isinstance(config, list):
        return [with_registered(each) for each in config]
    if not isinstance(config, dict):
        return config
    made = {key: with_registered(value) for key, value in config.items()}
    return {**made, "registered_name": made["class_name"]} if made.get("module") == "keras.initializers" else made


def _without(config: Any, keys: frozenset[str]) -> Any:
    if isinstance(config, list):
        return [_without(each, keys) for each in config]
    if not isinstance(config, dict):
        return config
    return {key: _without(value, keys) for key, value in config.items() if key not in keys}


def _values(config: Any) -> Iterator[Any]:
    stack = [config]
    while stack:
        value = stack.pop()
        yield value
        if isinstance(value, dict):
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)
