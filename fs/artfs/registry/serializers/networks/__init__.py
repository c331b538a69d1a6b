"""Networks in the formats of their libraries.

keras_models    Keras, as its zip file
keras_config    what a configuration may build
keras_weights   the weights in that zip file, read without HDF5's library
onnx_models     ONNX, without tensors in other files
"""
