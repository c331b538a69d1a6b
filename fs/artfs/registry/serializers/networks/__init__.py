"""Graphs of networks in the formats of their libraries.

onnx_models   ONNX, without tensors in other files
"""
